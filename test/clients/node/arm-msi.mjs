// An operator's program with @azure/arm-msi: creates, changes, lists and deletes a user-assigned managed identity of
// RESOURCE_GROUP and its credentials, and signs in as that identity while it trusts ISSUER and SUBJECT and after.
import { ManagedServiceIdentityClient } from "@azure/arm-msi";
import { check, fails, operator, refusal, signIn } from "./credentials.mjs";

const { BASE_URL, SUBSCRIPTION_ID, RESOURCE_GROUP: group, NAME: name, ISSUER: issuer, SUBJECT } = process.env;

async function collect(list) {
  const all = [];
  for await (const item of list) all.push(item);
  return all;
}

export async function manage() {
  const client = new ManagedServiceIdentityClient(operator(), SUBSCRIPTION_ID, { endpoint: BASE_URL });
  const identity = await makeIdentity(client.userAssignedIdentities);
  await makeCredentials(client.federatedIdentityCredentials);
  const access_token = await signIn(identity.clientId);
  await deleteCredential(client.federatedIdentityCredentials);
  const refused = await refusal(identity.clientId);
  await deleteIdentity(client.userAssignedIdentities);
  return { access_token, client_id: identity.clientId, principal_id: identity.principalId, refusal: refused };
}

async function makeIdentity(identities) {
  const made = await identities.createOrUpdate(group, name, { location: "local", tags: { "made-by": "arm-msi" } });
  await identities.update(group, name, { tags: { stage: "test" } });
  const got = await identities.get(group, name);
  check(got.clientId === made.clientId && got.location === "local" && got.tags.stage === "test", `read back ${JSON.stringify(got)}`);
  await listed(identities, true);
  return made;
}

async function listed(identities, want) {
  for (const list of [identities.listByResourceGroup(group), identities.listBySubscription()]) {
    const names = (await collect(list)).map((i) => i.name);
    check(names.includes(name) === want, `the identities are ${names}; ${name} in it must be ${want}`);
  }
}

// Three credentials, the one that counts first with another subject; read one by one.
async function makeCredentials(credentials) {
  const put = (credential, subject) => credentials.createOrUpdate(group, name, credential,
    { issuer, subject, audiences: ["api://AzureADTokenExchange"] });
  await put("first", "somebody:else");
  await put("second", "second");
  await put("third", "third");
  await put("first", SUBJECT);
  const got = await credentials.get(group, name, "first");
  check(got.issuer === issuer && got.subject === SUBJECT && got.audiences.length === 1, `read back ${JSON.stringify(got)}`);
  await names(credentials, "first,second,third");
}

async function names(credentials, want) {
  const pages = await collect(credentials.list(group, name, { top: 1 }).byPage());
  const got = pages.flat().map((c) => c.name).sort().join();
  check(got === want && pages.every((page) => page.length === 1), `the credentials are ${got} on ${pages.length} pages, want ${want}`);
}

// Deletes it twice, as the interface allows.
async function deleteCredential(credentials) {
  await credentials.delete(group, name, "first");
  await credentials.delete(group, name, "first");
  await fails(404, "reading a deleted credential", () => credentials.get(group, name, "first"));
  await names(credentials, "second,third");
}

async function deleteIdentity(identities) {
  await identities.delete(group, name);
  await fails(404, "reading a deleted identity", () => identities.get(group, name));
  await listed(identities, false);
}
