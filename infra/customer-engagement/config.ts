import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { Seed } from './seeding.ts';
import { Settings } from './settings.ts';

const Address = z.strictObject({ host: z.string(), port: z.int().min(0).max(65535) });

/** The directory that names are resolved in: a real one, or a file for the stand-in's own tests. */
const DirectorySettings = z.union([
  z.strictObject({
    url: z.url({ protocol: /^ldaps?$/ }),
    bindDn: z.string(),
    passwordFile: z.string(),
    caFile: z.string().optional(),
    namingContext: z.string(),
    /** What stands before the backslash in user names. */
    netbios: z.string(),
  }),
  z.strictObject({ file: z.string(), netbios: z.string() }),
]);

export const Config = z
  .strictObject({
    /** Where the records are kept. */
    stateFile: z.string(),
    /** One JSON line per request. */
    requestLog: z.string(),
    /** Where the Web API listens; port 0 takes a free one. */
    listen: Address,
    /** Where the control port listens: always plain HTTP, so only on loopback. */
    control: Address.refine(({ host }) => /^(127\.|::1$|localhost$)/.test(host), 'must be a loopback address'),
    /** Absent: plain HTTP. */
    tls: z.strictObject({ keyFile: z.string(), certFile: z.string() }).optional(),
    organization: z.string().regex(/^[A-Za-z]\w*$/),
    dialect: z.enum(['8.2', '9.0', '9.1']).default('9.1'),
    token: z.string().min(1).optional(),
    basic: z.strictObject({ user: z.string().min(1), password: z.string() }).optional(),
    /** NTLM logons of this user, checked by a helper that speaks as those of Squid do; one process for each connection. */
    windows: z.strictObject({ user: z.string().min(1), helper: z.array(z.string()).min(1) }).optional(),
    /** A proxy that has checked who asks: it sends the user as X-Remote-User, and this as X-Proxy-Secret. */
    proxy: z.strictObject({ user: z.string().min(1), secret: z.string().min(16) }).optional(),
    /** systemuserid of the service's own record. */
    caller: z.guid().transform((id) => id.toLowerCase()),
    directory: DirectorySettings,
    seed: z.array(Seed).default([]),
    settings: Settings.prefault({}),
    /** True: a write survives the loss of power too. */
    fsync: z.boolean().default(false),
  })
  .refine(({ token, basic }) => token !== undefined || basic !== undefined, { path: ['token'], message: 'token or basic is needed' });

export type Config = z.output<typeof Config>;
/** A configuration as it may be written, defaults left out. */
export type ConfigInput = z.input<typeof Config>;

/** @throws Error that names the file and each wrong setting */
export function readConfig(path: string): Config {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const result = Config.safeParse(parsed);
  if (!result.success) throw new Error(`${path} is wrong:\n${z.prettifyError(result.error)}`);
  return result.data;
}
