// Runs one third-party npm client, unmodified, against a security token service and reports what came of it as one line of
// JSON, as ../go does for Go. Server, trust (NODE_EXTRA_CA_CERTS) and identity come from the environment.
//
//   node client.mjs workload|assertion|default|managed|msal|jose|arm-msi|graph
import { AzurePipelinesCredential, ClientAssertionCredential, DefaultAzureCredential, ManagedIdentityCredential } from "@azure/identity";
import { ConfidentialClientApplication, ProtocolMode } from "@azure/msal-node";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { options, token, workload } from "./credentials.mjs";

const env = process.env;

// Two calls: the second has to be answered from the library's cache.
async function twice(credential) {
  const first = await credential.getToken(env.SCOPE);
  const second = await credential.getToken(env.SCOPE);
  return { access_token: first.token, cached: first.token === second.token };
}

// MSAL Node offers four ways to trust an authority that Microsoft's instance discovery does not know.
function msalAuth(mode) {
  const authority = `${env.BASE_URL}/${env.TENANT_ID}`, host = new URL(env.BASE_URL).host;
  const auth = { clientId: env.CLIENT_ID, authority, clientAssertion: token };
  switch (mode) {
    case "known":
      return { ...auth, knownAuthorities: [host] };
    case "metadata":
      return { ...auth, knownAuthorities: [host], authorityMetadata: JSON.stringify({
        issuer: `${authority}/v2.0`, authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
        token_endpoint: `${authority}/oauth2/v2.0/token`, jwks_uri: `${authority}/discovery/v2.0/keys`,
      }) };
    case "cloudmeta":
      return { ...auth, cloudDiscoveryMetadata: JSON.stringify({
        tenant_discovery_endpoint: `${authority}/v2.0/.well-known/openid-configuration`, "api-version": "1.1",
        metadata: [{ preferred_network: host, preferred_cache: host, aliases: [host] }],
      }) };
    case "oidc":
      return { ...auth, authority: env.OIDC_AUTHORITY, knownAuthorities: [host] };
  }
  throw new Error("MSAL_MODE?");
}

const clients = {
  workload: () => twice(workload()),
  assertion: () => twice(new ClientAssertionCredential(env.TENANT_ID, env.CLIENT_ID, token, options())),
  default: () => twice(new DefaultAzureCredential()),
  managed: () => twice(new ManagedIdentityCredential()),
  // The job's token comes from SYSTEM_OIDCREQUESTURI.
  pipelines: () => twice(new AzurePipelinesCredential(env.TENANT_ID, env.CLIENT_ID, env.SERVICE_CONNECTION_ID, env.SYSTEM_ACCESSTOKEN, options())),
  msal: async () => {
    const system = env.MSAL_MODE === "oidc" ? { protocolMode: ProtocolMode.OIDC } : {};
    const app = new ConfidentialClientApplication({ auth: msalAuth(env.MSAL_MODE), system });
    const first = await app.acquireTokenByClientCredential({ scopes: [env.SCOPE] });
    const second = await app.acquireTokenByClientCredential({ scopes: [env.SCOPE] });
    return { access_token: first.accessToken, cached: second.fromCache };
  },
  // A resource server that knows no more than the issuer's URL.
  jose: async () => {
    const response = await fetch(env.ISSUER.replace(/\/$/, "") + "/.well-known/openid-configuration");
    const { issuer, jwks_uri } = await response.json();
    if (issuer !== env.ISSUER) throw new Error(`discovery names the issuer ${issuer}`);
    const { payload } = await jwtVerify(env.ACCESS_TOKEN, createRemoteJWKSet(new URL(jwks_uri)), { issuer, audience: env.AUDIENCE });
    return { subject: payload.sub };
  },
  // An operator's programs; loaded when asked for, as each brings a library of its own.
  "arm-msi": async () => (await import("./arm-msi.mjs")).manage(),
  graph: async () => (await import("./graph.mjs")).manage(),
};

let result;
try {
  result = { ok: true, ...(await clients[process.argv[2]]()) };
} catch (error) {
  result = { ok: false, error: String(error.message ?? error) };
}
console.log(JSON.stringify(result));
process.exit(result.ok ? 0 : 1);
