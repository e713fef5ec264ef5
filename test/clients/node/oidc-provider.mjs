// A certified OpenID provider (npm oidc-provider) as the identity provider of a workload: the client credentials grant with a
// resource indicator gives a signed access token. Its clients are named after the algorithm that their tokens are signed with.
// Every start makes new keys, so a restart is a rotation.
//
//   ISSUER=https://127.0.0.1:PORT CERTIFICATE=tls.crt KEY=tls.key [TYP=JWT] node oidc-provider.mjs
//
// TYP replaces the typ of the token's header, which is at+jwt (RFC 9068) otherwise.
import { createPrivateKey, generateKeyPairSync, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { Provider } from "oidc-provider";

const { ISSUER, CERTIFICATE, KEY, TYP } = process.env;
const algorithms = { RS256: ["rsa", { modulusLength: 2048 }], ES256: ["ec", { namedCurve: "P-256" }], EdDSA: ["ed25519", {}] };

// By way of PEM, so that the key that is exported is not the one that its generator still holds: when that generator is
// collected during the export, Node 20 waits for itself.
function privateJWK(type, options) {
  const { privateKey } = generateKeyPairSync(type, {
    ...options, publicKeyEncoding: { type: "spki", format: "pem" }, privateKeyEncoding: { type: "pkcs8", format: "pem" },
  });
  return createPrivateKey(privateKey).export({ format: "jwk" });
}

const provider = new Provider(ISSUER, {
  clients: Object.keys(algorithms).map((alg) => ({
    client_id: alg, client_secret: "secret", grant_types: ["client_credentials"], redirect_uris: [], response_types: [],
  })),
  jwks: {
    keys: Object.entries(algorithms).map(([alg, [type, options]]) => ({
      ...privateJWK(type, options), use: "sig", alg, kid: randomUUID(),
    })),
  },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource, client) => ({
        scope: "", audience: resource, accessTokenFormat: "jwt", accessTokenTTL: 300, jwt: { sign: { alg: client.clientId } },
      }),
    },
  },
  formats: TYP ? { customizers: { jwt: (ctx, token, parts) => { parts.header = { typ: TYP }; } } } : {},
});

createServer({ cert: readFileSync(CERTIFICATE), key: readFileSync(KEY) }, provider.callback())
  .listen(Number(new URL(ISSUER).port), "127.0.0.1", () => console.log("ready"));
