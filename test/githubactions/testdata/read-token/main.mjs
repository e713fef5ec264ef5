import * as core from '@actions/core';

core.setOutput('token', await core.getIDToken(core.getInput('audience')));
