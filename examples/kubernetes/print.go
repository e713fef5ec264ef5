package main

import (
	"fmt"
	"strings"

	"cambio/test/httpclient"
)

// step begins a numbered step.
func (d *demo) step(what string) {
	d.steps++
	fmt.Fprintf(d.out, "\n%d. %s\n", d.steps, what)
}

// command prints what a person would type or send.
func (d *demo) command(format string, args ...any) {
	fmt.Fprintf(d.out, "   $ %s\n", fmt.Sprintf(format, args...))
}

// result prints what came of it.
func (d *demo) result(format string, args ...any) {
	fmt.Fprintf(d.out, "   => %s\n", fmt.Sprintf(format, args...))
}

// show prints the output of a command.
func (d *demo) show(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(d.out, "      %s\n", strings.TrimRight(line, "\n"))
	}
}

// showClaims prints what a token says of its bearer. Nothing is verified here.
func (d *demo) showClaims(title, token string) error {
	claims, err := httpclient.Part(token, 1)
	if err != nil {
		return err
	}
	d.result("%s:", title)
	for _, name := range []string{"iss", "sub", "aud", "azp", "roles"} {
		if value, present := claims[name]; present {
			d.show(fmt.Sprintf("%-5s %v", name, value))
		}
	}
	return nil
}
