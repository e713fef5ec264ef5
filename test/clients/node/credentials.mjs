// How the programs here sign in. Everything comes from the environment.
import { readFileSync } from "node:fs";
import { DefaultAzureCredential, WorkloadIdentityCredential } from "@azure/identity";

const env = process.env;

export const token = async () => readFileSync(env.TOKEN_FILE, "utf8").trim();

// The options of @azure/identity: with FROM_ENV=1 none but the switch, so that all else comes from AZURE_*.
export const options = (more) => ({
  disableInstanceDiscovery: env.DISABLE_INSTANCE_DISCOVERY === "1",
  ...(env.FROM_ENV === "1" ? {} : { authorityHost: env.BASE_URL, ...more }),
});

// WorkloadIdentityCredential of a client, or of the environment's.
export const workload = (clientId) => new WorkloadIdentityCredential({
  ...options({ tenantId: env.TENANT_ID, clientId: env.CLIENT_ID, tokenFilePath: env.TOKEN_FILE }),
  ...(clientId ? { clientId } : {}),
});

// The operator's: CREDENTIAL is default or workload.
export const operator = () => env.CREDENTIAL === "default" ? new DefaultAzureCredential() : workload();

// What the workload does that an application or identity is for.
export const signIn = async (clientId) => (await workload(clientId).getToken(env.SCOPE)).token;

// The text with which a sign-in is refused that has to be.
export async function refusal(clientId) {
  try {
    await signIn(clientId);
  } catch (error) {
    return error.message;
  }
  throw new Error("signed in without a credential");
}

export function check(condition, what) {
  if (!condition) throw new Error(what);
}

// Runs what has to fail with a status.
export async function fails(status, what, call) {
  try {
    await call();
  } catch (error) {
    check(error.statusCode === status, `${what}: want status ${status}, got ${error.statusCode}: ${error.message}`);
    return;
  }
  throw new Error(`${what}: want status ${status}, got a success`);
}
