// Removes the file with the job's token, at the end of the job.
import {rmSync} from 'node:fs';

const file = process.env.STATE_token_file;
if (file) rmSync(file, {force: true});
