import { z } from 'zod';
import { nameKey, PROFILE_ATTRIBUTES } from '../../streams/identity.ts';
import { parseEndpoint } from '../directory/endpoint.ts';
import { isDnsServer } from '../directory/names.ts';
import { whyNotWatched } from '../directory/schema.ts';

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `500ms`, `30s`, `15m`, `12h`, `7d`; milliseconds once parsed. */
const period = z
  .string()
  .regex(/^\d+(ms|s|m|h|d)$/, 'expected a duration such as 500ms, 30s, 15m, 12h or 7d')
  .transform((text) => {
    const [, count = '', unit = 'ms'] = /^(\d+)(\w+)$/.exec(text) ?? [];
    return Number(count) * UNITS[unit as keyof typeof UNITS];
  });

/** The longest that a timer of Node waits; one that is set for longer fires at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

const pause = period.refine((milliseconds) => milliseconds <= LONGEST_TIMER, 'expected 24d at most');
const duration = pause.refine((milliseconds) => milliseconds > 0, 'expected more than nothing');

/**
 * The look at the user records is also when a repairer reads up the identities, if nothing else makes it do so. The topics keep
 * the mark of a deletion for a day or longer: whoever reads up less often could miss one.
 */
const LONGEST_LINK_EVERY = 12 * UNITS.h;
const linkEvery = period
  .refine((milliseconds) => milliseconds > 0, 'expected more than nothing')
  .refine((milliseconds) => milliseconds <= LONGEST_LINK_EVERY, 'expected 12h at most: whoever looks less often could miss deletions');

/** Credentials in an address would be shown wherever the address is. */
function withoutCredentials(address: string): boolean {
  const url = URL.parse(address);
  return url === null || (url.username === '' && url.password === '');
}
const NO_CREDENTIALS = 'expected an address without a user and password in it';

/** What the listener itself will make of it. */
function isEndpoint(address: string): boolean {
  try {
    parseEndpoint(address, false);
    return true;
  } catch {
    return false;
  }
}

/** Nothing but a host and a port, so that nothing in it needs to be kept secret. The client of the brokers knows no IPv6 addresses. */
function isBroker(address: string): boolean {
  const port = Number(/^[A-Za-z0-9._-]+:(\d{1,5})$/.exec(address)?.[1]);
  return port >= 1 && port <= 65_535;
}

/** Marks what must come from the environment or from a file of its own, and is never shown. */
export const SECRET = { secret: true } as const;
const secret = (description: string) =>
  z
    .string()
    .min(1)
    .optional()
    .meta({ ...SECRET, description });

/** A secret has exactly one source. */
function either<Shape extends z.ZodRawShape>(schema: z.ZodObject<Shape>, name: string): z.ZodObject<Shape> {
  return schema.refine((value) => (Reflect.get(value, `${name}File`) === undefined) !== (Reflect.get(value, name) === undefined), {
    path: [`${name}File`],
    message: `expected either ${name}File or the ${name} in the environment`,
  });
}

const AccountName = z.string().regex(/^[^\\]+\\[^\\]+$/, 'expected DOMAIN\\name');

/** Of a domain or a site, as a part of the names that DNS is asked for. */
const DNS_LABEL = '[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';

/** Marks a list that is written with this between its values where it is one text: DNs have commas of their own. */
export const SEMICOLON = { separator: ';' } as const;
const dns = (description: string) =>
  z
    .array(z.string().regex(/^[A-Za-z][A-Za-z0-9-]*=[^;]+$/, 'expected a DN, such as OU=Staff,DC=corp,DC=example,DC=test'))
    .min(1)
    .optional()
    .meta({ ...SEMICOLON, description });
const places = (who: string) =>
  z
    .strictObject({
      ous: dns(`DNs of OUs or containers below which ${who}`),
      groups: dns(`DNs of groups whose members, also by way of other groups, ${who}`),
    })
    .refine(({ ous, groups }) => ous !== undefined || groups !== undefined, 'expected ous or groups')
    .optional();

const Directory = either(
  z
    .strictObject({
      urls: z
        .array(
          z
            .string()
            .refine(withoutCredentials, { error: NO_CREDENTIALS, abort: true })
            .refine(isEndpoint, 'expected ldaps://host[:port] or ldap://host[:port]'),
        )
        .min(1)
        .optional()
        .describe('domain controllers of one domain, in order of preference; ldap:// is secured with StartTLS'),
      domain: z
        .string()
        .regex(new RegExp(`^${DNS_LABEL}(?:\\.${DNS_LABEL})*$`), 'expected the DNS name of a domain, such as corp.example.test')
        .optional()
        .describe('instead of urls: DNS name of the domain, whose domain controllers DNS tells'),
      site: z
        .string()
        .regex(new RegExp(`^${DNS_LABEL}$`), 'expected the name of an Active Directory site')
        .optional()
        .describe('with domain: the Active Directory site whose domain controllers are preferred'),
      protocol: z.enum(['ldaps', 'ldap']).optional().describe('with domain: ldaps unless said otherwise; ldap is secured with StartTLS'),
      dnsServers: z
        .array(z.string().refine(isDnsServer, 'expected an IP address, with :port if it is not 53'))
        .min(1)
        .optional()
        .describe('DNS servers to ask about the domain and its domain controllers, instead of the system\u2019s'),
      bindDn: z.string().min(1).describe('who logs on: a UPN, DOMAIN\\name or DN; needs the right Replicating Directory Changes'),
      passwordFile: z.string().optional().describe('file that holds the password; read at each logon'),
      password: secret('the password itself'),
      caFile: z
        .string()
        .optional()
        .describe('PEM file of the CA that signed the domain controllers\u2019 certificates, instead of the system\u2019s CAs'),
      allowClearText: z
        .boolean()
        .default(false)
        .describe('allow a logon over ldap:// without TLS, which shows the password to the network'),
      scope: z
        .strictObject({
          include: places('accounts are followed; without include everybody is'),
          exclude: places('accounts are not followed all the same'),
        })
        .optional(),
      deadline: duration
        .prefault('5s')
        .describe('longest wait until a domain controller is ready to be read, and then for each of its answers'),
      source: z
        .enum(['dirsync', 'usn', 'auto'])
        .default('dirsync')
        .describe(
          'how changes are read: usn by uSNChanged, which needs no right to replicate; auto uses that only where DirSync is refused',
        ),
      objectSecurity: z
        .boolean()
        .default(false)
        .describe('with DirSync: read only what the account may see, which needs no right to replicate'),
      base: z.string().min(1).optional().describe('with source usn: DN below which accounts are followed, instead of the whole domain'),
      probeEvery: duration.prefault('30s').describe('look this often whether a better domain controller than the one in use is well again'),
      failBackAfter: duration.prefault('2m').describe('go back to a better domain controller once it has been well for so long'),
    })
    .refine(({ urls, domain }) => (urls === undefined) !== (domain === undefined), {
      path: ['urls'],
      message: 'expected either urls or domain',
    })
    .refine(({ site, domain }) => site === undefined || domain !== undefined, {
      path: ['site'],
      message: 'expected only together with domain',
    })
    .refine(({ protocol, domain }) => protocol === undefined || domain !== undefined, {
      path: ['protocol'],
      message: 'expected only together with domain',
    }),
  'password',
);

const Kafka = z
  .strictObject({
    brokers: z
      .array(z.string().refine(isBroker, 'expected host:port; a broker with an IPv6 address needs a name'))
      .min(1)
      .describe('host:port of some brokers'),
    topicPrefix: z
      .string()
      .regex(/^[A-Za-z0-9._-]*$/)
      .default('')
      .describe('put before every topic, group and transactional id'),
    tls: z
      .strictObject({ caFile: z.string().optional().describe('PEM file of the CA that signed the brokers\u2019 certificates') })
      .optional()
      .describe('speak TLS; {} takes the system\u2019s CAs'),
    sasl: either(
      z.strictObject({
        mechanism: z.enum(['plain', 'scram-sha-256', 'scram-sha-512']),
        username: z.string().describe('who logs on'),
        passwordFile: z.string().optional().describe('file that holds the password'),
        password: secret('the password itself'),
      }),
      'password',
    )
      .optional()
      .describe('log on to the brokers'),
    allowClearText: z.boolean().default(false).describe('allow a SASL logon without TLS'),
    retention: z
      .union([z.literal('forever').transform(() => -1), period.refine((milliseconds) => milliseconds > 0, 'expected more than nothing')])
      .prefault('forever')
      .describe('how long the history of events is kept; that of repairs is kept forever'),
    partitions: z
      .int()
      .min(1)
      .default(1)
      .describe('of new topics with events and identities; with one, events stand in the order of their sequence'),
    replicationFactor: z.int().min(-1).default(-1).describe('of new topics; -1 is the cluster\u2019s default'),
  })
  .refine(({ sasl, tls, allowClearText }) => sasl === undefined || tls !== undefined || allowClearText, {
    path: ['sasl'],
    message: 'expected only together with tls: it would send its credentials in clear text, which allowClearText allows',
  });

const Organization = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9._-]+$/, 'expected letters, digits, dot, dash or underscore')
      .describe('what it is called in logs and topics'),
    url: z
      .url({ protocol: /^https?$/, error: 'expected https://host/organization' })
      .refine(withoutCredentials, { error: NO_CREDENTIALS, abort: true })
      .refine((address) => !/[?#]/.test(address), 'expected an address that ends after the organization, without ? or #')
      .describe('https://crm.example.test/contoso, or https://contoso.example.test'),
    apiVersion: z.enum(['v8.2', 'v9.0', 'v9.1']).default('v9.1').describe('of the Web API'),
    caFile: z
      .string()
      .optional()
      .describe('PEM file of the CA that signed the server\u2019s certificate, instead of the system\u2019s CAs'),
    allowClearText: z.boolean().default(false).describe('allow http://, which shows the credentials to the network'),
    deadline: duration.prefault('30s').describe('longest wait for an answer'),
    auth: z
      .discriminatedUnion('method', [
        either(
          z.strictObject({
            method: z.literal('bearer').describe('bearer or basic'),
            tokenFile: z.string().optional().describe('file that holds the token; read at each request'),
            token: secret('the token itself'),
          }),
          'token',
        ),
        either(
          z.strictObject({
            method: z.literal('basic'),
            user: z
              .string()
              .regex(/^[^:]+$/, 'expected a name without a colon')
              .describe('who logs on, for basic'),
            passwordFile: z.string().optional().describe('file that holds the password; read at each request'),
            password: secret('the password itself'),
          }),
          'password',
        ),
      ])
      .describe('how to log on'),
    parkingAccounts: z
      .array(AccountName)
      .min(1)
      .refine((all) => new Set(all.map(nameKey)).size === all.length, 'expected each account once; case makes no difference')
      .describe('AD accounts made for parking, in no record, nobody\u2019s own; as many as repairs are to run side by side'),
  })
  .refine(({ url, allowClearText }) => URL.parse(url)?.protocol === 'https:' || allowClearText, {
    path: ['url'],
    message: 'expected https://: http:// would send the credentials in clear text, which allowClearText allows',
  });

/** Everything that can be set. Help, environment variables, flags and the checks are all made from this. */
export const Configuration = z.strictObject({
  directories: z.array(Directory).min(1).describe('the domains to listen to'),
  log: z
    .strictObject({
      kafka: Kafka.optional(),
      sqlite: z
        .strictObject({ file: z.string().default('namesake.db').describe('relative to stateDirectory') })
        .optional()
        .describe('the log in one file on this machine; the default where no broker is configured'),
    })
    .prefault({})
    .refine(({ kafka, sqlite }) => kafka === undefined || sqlite === undefined, 'expected kafka or sqlite, not both'),
  organizations: z
    .array(Organization)
    .default([])
    .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, 'expected a name of its own for each organization')
    .describe('the Customer Engagement organizations to repair'),
  listener: z
    .strictObject({
      readEvery: duration.prefault('30s').describe('read the directory at least this often, although it reports changes by itself'),
      readGap: pause.prefault('10ms').describe('shortest pause between two reads'),
      positionEvery: duration.prefault('1m').describe('store the position at least this often while nothing changes'),
      compareEvery: period
        .prefault('7d')
        .describe('read everything and compare it with what is known this often, although no position was lost; 0s: never'),
      attributes: z
        .array(
          z
            .string()
            .regex(/^[A-Za-z][A-Za-z0-9-]*$/, 'expected the lDAPDisplayName of an attribute')
            .superRefine((name, context) => {
              const why = whyNotWatched(name);
              if (why !== undefined) context.addIssue(`${name} ${why}`);
            }),
        )
        .refine((all) => new Set(all.map(nameKey)).size === all.length, 'expected each attribute once; case makes no difference')
        .default([...PROFILE_ATTRIBUTES])
        .describe(
          'attributes to watch besides sAMAccountName, userPrincipalName, userAccountControl and objectSid: single texts, and no secrets',
        ),
      scopeEvery: duration
        .prefault('5m')
        .describe('with a scope: look this often at least who is in it; changes of containers and groups are noticed at once'),
      maxLag: duration
        .prefault('1h')
        .describe(
          'how long a domain controller may lag behind: for so long what is older than known is not taken for true; one that lags longer is read only if no other is left',
        ),
      movesWithin: pause
        .prefault('1m')
        .describe(
          'how long an account that is gone from one of several domains may take to show up in another before it is told as deleted',
        ),
      deletionLimit: z
        .strictObject({
          count: z.int().min(0).default(50).describe('report no more deletions than this of one read before a person accepts them'),
          percent: z.number().min(0).max(100).default(5).describe('the same, of the accounts that are known; five always pass'),
        })
        .prefault({}),
    })
    .prefault({}),
  repairer: z
    .strictObject({ linkEvery: linkEvery.prefault('15m').describe('look for new user records this often, 12h at most') })
    .prefault({}),
  logging: z
    .strictObject({
      level: z.enum(['error', 'warn', 'info', 'debug']).default('info'),
      format: z.enum(['auto', 'json', 'pretty']).default('auto').describe('auto: pretty on a terminal, otherwise JSON'),
    })
    .prefault({}),
  stateDirectory: z
    .string()
    .default('/var/lib/namesake')
    .describe('where files are kept; with Kafka each instance needs its own, with SQLite the instances on a machine share it'),
});
export type Configuration = z.infer<typeof Configuration>;
