-- oldest: 7

-- Nothing, as in version 8.
