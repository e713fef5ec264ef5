// An operator's program with @microsoft/microsoft-graph-client: registers a protected resource and a client, lets the client
// trust ISSUER and SUBJECT, grants it a role, signs in as that client, and takes everything away again.
import { Client } from "@microsoft/microsoft-graph-client";
import { TokenCredentialAuthenticationProvider } from "@microsoft/microsoft-graph-client/authProviders/azureTokenCredentials/index.js";
import { check, fails, operator, refusal, workload } from "./credentials.mjs";

const { BASE_URL, NAME: name, ISSUER: issuer, SUBJECT: subject, ROLE: role } = process.env;
const roleId = "2f0c1d7a-5b0e-4a55-8d53-0f3b6f1c9d01";

const graph = Client.initWithMiddleware({
  baseUrl: `${BASE_URL}/`,
  customHosts: new Set([new URL(BASE_URL).hostname]),
  authProvider: new TokenCredentialAuthenticationProvider(operator(), { scopes: [`${BASE_URL}/.default`] }),
});

export async function manage() {
  const resource = await register({
    displayName: `${name} API`, identifierUris: [`api://${name}`], api: { requestedAccessTokenVersion: 2 },
    appRoles: [{ id: roleId, value: role, displayName: role, description: role, allowedMemberTypes: ["Application"], isEnabled: true }],
  });
  const client = await register({ displayName: `${name} draft` });
  await changeApplication(client);
  const credential = await makeCredential(client);
  const assignment = await assign(client, resource);
  const access_token = (await workload(client.appId).getToken(`api://${name}/.default`)).token;
  await deleteCredential(client, credential);
  const refused = await refusal(client.appId);
  await deleteAssignment(client, resource, assignment);
  await remove(client);
  await remove(resource);
  return { access_token, client_id: client.appId, principal_id: client.principal, resource_id: resource.appId, refusal: refused };
}

// An application and its service principal.
async function register(application) {
  const { id, appId } = await graph.api("/applications").post(application);
  const principal = await graph.api("/servicePrincipals").post({ appId });
  check(principal.appId === appId && principal.servicePrincipalType === "Application", `service principal ${JSON.stringify(principal)}`);
  return { id, appId, principal: principal.id };
}

async function changeApplication({ id, appId }) {
  await graph.api(`/applications/${id}`).patch({ displayName: name, tags: ["graph-client"] });
  const selected = await graph.api(`/applications(appId='${appId}')`).select("id,appId").get();
  delete selected["@odata.context"];
  check(Object.keys(selected).sort().join() === "appId,id" && selected.id === id, `selected ${JSON.stringify(selected)}`);
  const found = await graph.api("/applications").filter(`displayName eq '${name}'`).select("id,displayName,tags").get();
  check(found.value.length === 1 && found.value[0].id === id && found.value[0].tags[0] === "graph-client", `found ${JSON.stringify(found)}`);
  const prefix = await graph.api("/servicePrincipals").filter(`startswith(displayName,'${name}')`).top(1).get();
  check(prefix.value.length === 1 && prefix["@odata.nextLink"], `service principals ${JSON.stringify(prefix)}`);
  const next = await graph.api(prefix["@odata.nextLink"]).get();
  check(next.value.length === 1 && next.value[0].id !== prefix.value[0].id, `the next page ${JSON.stringify(next)}`);
}

// Made with another subject, which is changed; found by list, by filter, by name and by id.
async function makeCredential({ id, appId }) {
  const credentials = `/applications/${id}/federatedIdentityCredentials`;
  const made = await graph.api(credentials).post({ name: "graph-client", issuer, subject: "somebody:else", audiences: ["api://AzureADTokenExchange"] });
  await graph.api(`${credentials}/${made.id}`).patch({ subject, description: "changed" });
  for (const path of [`${credentials}/${made.id}`, `${credentials}/graph-client`, `/applications(appId='${appId}')/federatedIdentityCredentials/graph-client`]) {
    const got = await graph.api(path).get();
    check(got.id === made.id && got.subject === subject && got.issuer === issuer && got.description === "changed", `${path}: ${JSON.stringify(got)}`);
  }
  for (const list of [graph.api(credentials), graph.api(credentials).filter("name eq 'graph-client'")]) {
    const { value } = await list.get();
    check(value.length === 1 && value[0].id === made.id, `credentials ${JSON.stringify(value)}`);
  }
  return made.id;
}

// The one that counts, and another one that is created or updated by its name.
async function deleteCredential({ id, appId }, credential) {
  const other = `/applications(appId='${appId}')/federatedIdentityCredentials(name='other')`;
  const upsert = (body) => graph.api(other).header("Prefer", "create-if-missing").patch(body);
  const made = await upsert({ issuer, subject: "first", audiences: ["api://AzureADTokenExchange"] });
  check(made.name === "other" && made.subject === "first", `upserted ${JSON.stringify(made)}`);
  await upsert({ subject: "second" });
  check((await graph.api(other).get()).subject === "second", "a second upsert must update");
  await graph.api(other).delete();
  const path = `/applications/${id}/federatedIdentityCredentials/${credential}`;
  await graph.api(path).delete();
  await fails(404, "reading a deleted credential", () => graph.api(path).get());
}

// Seen from both sides.
async function assign(client, resource) {
  const made = await graph.api(`/servicePrincipals/${client.principal}/appRoleAssignments`)
    .post({ principalId: client.principal, resourceId: resource.principal, appRoleId: roleId });
  for (const path of [`${client.principal}/appRoleAssignments`, `${resource.principal}/appRoleAssignedTo`]) {
    const { value } = await graph.api(`/servicePrincipals/${path}`).get();
    check(value.length === 1 && value[0].id === made.id && value[0].appRoleId === roleId, `${path}: ${JSON.stringify(value)}`);
  }
  return made.id;
}

async function deleteAssignment(client, resource, assignment) {
  await graph.api(`/servicePrincipals/${resource.principal}/appRoleAssignedTo/${assignment}`).delete();
  const { value } = await graph.api(`/servicePrincipals/${client.principal}/appRoleAssignments`).get();
  check(value.length === 0, `assignments ${JSON.stringify(value)}`);
}

async function remove({ id, appId, principal }) {
  await graph.api(`/servicePrincipals/${principal}`).delete();
  await fails(404, "reading a deleted service principal", () => graph.api(`/servicePrincipals/${principal}`).get());
  await graph.api(`/applications/${id}`).delete();
  await fails(404, "reading a deleted application", () => graph.api(`/applications(appId='${appId}')`).get());
}
