// Exchanges the job's OIDC token for an access token.
//
// It uses nothing but Node, so that what runs in a job with a token is these
// two files. The protocol with the runner is that of GitHub's toolkit:
// inputs are INPUT_* variables, outputs, variables and state are lines
// appended to files, and commands are lines on standard output.
import {randomUUID} from 'node:crypto';
import {appendFileSync, readFileSync, writeFileSync} from 'node:fs';
import https from 'node:https';
import http from 'node:http';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';

const attempts = 4;
const requestTimeout = 15_000; // milliseconds
const longestWait = 30; // seconds, whatever Retry-After says
const largestAnswer = 1 << 20; // bytes

/** A failure that its reader can mend; it is printed without a stack. */
class Problem extends Error {}

const input = name => (process.env[`INPUT_${name.toUpperCase()}`] ?? '').trim();

function required(name) {
  const value = input(name);
  if (!value) throw new Problem(`The input ${name} is missing: it belongs under "with:" of this step.`);
  return value;
}

/** Appends name=value to one of the runner's files. No value here can hold a line break: see token() and inputs(). */
function record(file, name, value) {
  appendFileSync(process.env[file], `${name}=${value}\n`);
}

/** Text of a command to the runner must be escaped. */
const escaped = text => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');

const mask = secret => console.log(`::add-mask::${escaped(secret)}`);

function inputs() {
  const authority = authorityOf(required('authority'));
  const all = {
    authority,
    tenant: required('tenant-id'),
    client: required('client-id'),
    scope: input('scope'),
    audience: required('audience'),
    signIn: flag('sign-in'),
    ca: certificates(input('ca-file')),
  };
  for (const [name, value] of [['tenant-id', all.tenant], ['client-id', all.client]]) {
    if (!/^[\w.-]+$/.test(value)) throw new Problem(`The input ${name} is ${JSON.stringify(value)}: a GUID or a name was expected.`);
  }
  if (!all.scope && !all.signIn) throw new Problem('There is nothing to do: set scope, for an access token, or sign-in: true, for later steps.');
  return all;
}

function flag(name) {
  const value = input(name);
  if (value !== '' && value !== 'true' && value !== 'false') throw new Problem(`The input ${name} is ${JSON.stringify(value)}; it takes true or false.`);
  return value === 'true';
}

function authorityOf(text) {
  let url;
  try {
    url = new URL(text);
  } catch {
    throw new Problem(`The input authority is ${JSON.stringify(text)}, which is not a URL: the server's origin was expected, such as https://sts.example.net.`);
  }
  if (url.protocol !== 'https:' || url.pathname !== '/' || url.search || url.hash || url.username) {
    throw new Problem(`The input authority is ${JSON.stringify(text)}: an origin was expected, https:// and a host, without a path; the tenant has an input of its own.`);
  }
  return url.origin;
}

function certificates(file) {
  if (!file) return undefined;
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Problem(`The file of the input ca-file cannot be read: ${error.message}.`);
  }
}

/** Sends one request and returns {status, headers, body}. */
function once(url, {method = 'GET', headers = {}, body, ca} = {}) {
  const transport = url.protocol === 'https:' ? https : http;
  // Proxies of the environment are followed where Node can (24.5 and newer).
  const agent = new transport.Agent({ca, proxyEnv: process.env});
  return new Promise((resolve, reject) => {
    const request = transport.request(url, {method, headers, agent, timeout: requestTimeout}, response => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', part => {
        text += part;
        if (text.length > largestAnswer) request.destroy(new Error('the answer is too long'));
      });
      response.on('error', reject);
      response.on('end', () => resolve({status: response.statusCode, headers: response.headers, body: text}));
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${requestTimeout / 1000} seconds`)));
    request.on('error', reject);
    request.end(body);
  });
}

/** Sends a request, again while the other side is busy or cannot be reached. */
async function send(what, url, options) {
  for (let attempt = 1; ; attempt++) {
    let wait = 2 ** attempt * (0.5 + Math.random() / 2); // seconds; spread, so that jobs do not come back together
    let failure;
    try {
      const answer = await once(url, options);
      if (answer.status !== 429 && answer.status < 500) return answer;
      failure = `it answered ${answer.status}`;
      if (attempt === attempts) return answer;
      const asked = Number(answer.headers['retry-after']);
      if (asked > 0) wait = Math.min(asked, longestWait) + Math.random();
    } catch (error) {
      failure = error.message || error.code;
      if (attempt === attempts) throw new Problem(`${what} cannot be reached at ${url.origin}: ${failure}.${hintFor(error)}`);
    }
    console.log(`${what}: ${failure}; trying again in ${wait.toFixed(0)} s (${attempt} of ${attempts - 1})`);
    await sleep(wait * 1000);
  }
}

function hintFor(error) {
  const untrusted = ['SELF_SIGNED_CERT_IN_CHAIN', 'DEPTH_ZERO_SELF_SIGNED_CERT', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'];
  if (untrusted.includes(error.code)) return ' Name the server\'s certificate authority with the input ca-file.';
  return '';
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/** A compact JWS, and nothing that could break a line of the runner's files. */
function token(value, from) {
  if (typeof value !== 'string' || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(value)) throw new Problem(`${from} answered without a token.`);
  return value;
}

/** The job's own token (GitHub's documentation: "OpenID Connect reference", requesting the JWT). */
async function jobToken(audience) {
  const {ACTIONS_ID_TOKEN_REQUEST_URL: address, ACTIONS_ID_TOKEN_REQUEST_TOKEN: secret} = process.env;
  if (!address || !secret) {
    throw new Problem('This job may not ask GitHub for a token. Add to the job, or to the workflow:\n' +
      '  permissions:\n    id-token: write\n    contents: read\n' +
      'A workflow that calls a reusable one has to grant it too. Pull requests from forks never get it.');
  }
  const url = new URL(address);
  url.searchParams.set('audience', audience);
  const answer = await send('GitHub', url, {headers: {Authorization: `Bearer ${secret}`, Accept: 'application/json'}});
  if (answer.status !== 200) throw new Problem(`GitHub gave this job no token: it answered ${answer.status} ${answer.body.slice(0, 300)}`);
  const value = token(parsed(answer.body).value, 'GitHub');
  mask(value);
  return value;
}

/** The exchange: RFC 6749 section 4.4 with the client assertion of RFC 7523. */
async function exchange(wanted, assertion) {
  const path = wanted.tenant.toLowerCase() === 'adfs' ? 'adfs/oauth2/token' : `${wanted.tenant}/oauth2/v2.0/token`;
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: wanted.client,
    scope: wanted.scope,
    client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
    client_assertion: assertion,
  });
  const answer = await send('The server', new URL(`${wanted.authority}/${path}`), {
    method: 'POST', ca: wanted.ca, body: form.toString(),
    headers: {'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json', 'client-request-id': randomUUID()},
  });
  const body = parsed(answer.body);
  if (answer.status !== 200) throw new Problem(refusal(answer, body, assertion));
  return {value: token(body.access_token, 'The server'), seconds: Number(body.expires_in)};
}

function refusal(answer, body, assertion) {
  if (!body.error) return `The server answered ${answer.status} and no OAuth error: is the authority a cambio server?`;
  const claims = parsed(Buffer.from(assertion.split('.')[1], 'base64url').toString());
  const shown = ['iss', 'sub', 'aud'].map(name => `  ${name} ${JSON.stringify(claims[name])}`).join('\n');
  const lines = [`The server refused: ${body.error}`, body.error_description, `The job presented:\n${shown}`];
  if (body.error_uri) lines.push(`What it means and what to do: ${body.error_uri}`);
  return lines.filter(Boolean).join('\n');
}

/** Lets Azure SDKs in later steps find the job's token. */
function signIn(wanted, assertion) {
  const file = join(process.env.RUNNER_TEMP, `cambio-${randomUUID()}.jwt`);
  record('GITHUB_STATE', 'token_file', file);
  writeFileSync(file, assertion, {mode: 0o600, flag: 'wx'});
  record('GITHUB_OUTPUT', 'token-file', file);
  record('GITHUB_ENV', 'AZURE_AUTHORITY_HOST', `${wanted.authority}/`);
  record('GITHUB_ENV', 'AZURE_TENANT_ID', wanted.tenant);
  record('GITHUB_ENV', 'AZURE_CLIENT_ID', wanted.client);
  record('GITHUB_ENV', 'AZURE_FEDERATED_TOKEN_FILE', file);
}

async function main() {
  const wanted = inputs();
  const assertion = await jobToken(wanted.audience);
  if (wanted.signIn) signIn(wanted, assertion);
  if (!wanted.scope) return;
  const access = await exchange(wanted, assertion);
  mask(access.value);
  record('GITHUB_OUTPUT', 'access-token', access.value);
  const expires = new Date(Date.now() + access.seconds * 1000).toISOString().replace(/\.\d+Z$/, 'Z');
  record('GITHUB_OUTPUT', 'expires-on', expires);
  console.log(`Access token for ${wanted.scope}, until ${expires}`);
}

main().catch(error => {
  console.log(`::error title=cambio::${escaped(error instanceof Problem ? error.message : String(error.stack))}`);
  process.exitCode = 1;
});
