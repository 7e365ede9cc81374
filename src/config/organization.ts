import { z } from 'zod';
import { nameKey } from '../../streams/identity.ts';
import { WEEKDAYS } from '../../streams/repairer/change-window.ts';
import { duration, either, NO_CREDENTIALS, secret, withoutCredentials } from './values.ts';

/** How the service logs on to an organization. */
const Auth = z.discriminatedUnion('method', [
  either(
    z.strictObject({
      method: z.literal('bearer').describe('windows, adfs, bearer or basic'),
      tokenFile: z.string().optional().describe('for bearer: file that holds the token; read at each request'),
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
        .describe('who logs on: a name for basic, DOMAIN\\name or a UPN for windows by ntlm, a UPN or DOMAIN\\name for adfs'),
      passwordFile: z.string().optional().describe('file that holds the password; read at each request'),
      password: secret('the password itself'),
    }),
    'password',
  ),
  z
    .strictObject({
      method: z.literal('windows'),
      mechanisms: z
        .array(z.enum(['kerberos', 'ntlm']))
        .min(1)
        .default(['kerberos'])
        .describe('for windows: which, in order of preference; the next one is tried where one cannot be used, and that is logged'),
      spn: z
        .string()
        .regex(/^[^/@\s]+\/[^/@\s]+$/, 'expected service/host, such as HTTP/crm.example.test')
        .optional()
        .describe('for windows: service principal name of the server, instead of HTTP/ and the host of url'),
      keytab: z.string().optional().describe('for kerberos: keytab of the service\u2019s account; tickets are got and renewed with it'),
      cache: z
        .string()
        .optional()
        .describe('for kerberos: credential cache with a ticket that somebody else renews, such as FILE:/run/namesake/krb5cc'),
      principal: z.string().optional().describe('for kerberos: who logs on, where keytab or cache hold several: name@REALM'),
      krb5Config: z.string().optional().describe('for kerberos: another file than /etc/krb5.conf'),
      mutual: z.boolean().default(true).describe('for kerberos: refuse a server that does not prove who it is'),
      user: z.string().min(1).optional(),
      passwordFile: z.string().optional(),
      password: secret('the password itself'),
    })
    .refine(({ mechanisms, user }) => !mechanisms.includes('ntlm') || user !== undefined, {
      path: ['user'],
      message: 'expected with the mechanism ntlm',
    })
    .refine(
      ({ mechanisms, password, passwordFile }) => !mechanisms.includes('ntlm') || (password === undefined) !== (passwordFile === undefined),
      {
        path: ['passwordFile'],
        message: 'expected with the mechanism ntlm: either passwordFile or the password in the environment',
      },
    ),
  either(
    z
      .strictObject({
        method: z.literal('adfs'),
        authority: z
          .url({ protocol: /^https$/, error: 'expected https://host/adfs' })
          .refine(withoutCredentials, { error: NO_CREDENTIALS, abort: true })
          .describe('for adfs: https://adfs.example.test/adfs; credentials are sent there and nowhere else'),
        version: z.enum(['2016', '2019']).default('2019').describe('for adfs: 2019 means 2019 and newer'),
        clientId: z.string().min(1).describe('for adfs: of the client that was added for this service'),
        clientSecretFile: z.string().optional().describe('for adfs: file that holds the secret of a confidential client'),
        clientSecret: secret('the secret itself'),
        clientCertificateFile: z.string().optional().describe('for adfs 2019: PEM file with the certificate of a confidential client'),
        clientKeyFile: z.string().optional().describe('for adfs 2019: PEM file with its key'),
        resource: z.string().min(1).describe('for adfs: identifier of the relying party, slash at its end included'),
        caFile: z
          .string()
          .optional()
          .describe('for adfs: PEM file of the CA that signed its certificate, instead of the system\u2019s CAs'),
        user: z.string().min(1),
        passwordFile: z.string().optional(),
        password: secret('the password itself'),
      })
      .refine(({ clientSecret, clientSecretFile }) => clientSecret === undefined || clientSecretFile === undefined, {
        path: ['clientSecretFile'],
        message: 'expected either clientSecretFile or the clientSecret in the environment',
      })
      .refine(({ clientCertificateFile, clientKeyFile }) => (clientCertificateFile === undefined) === (clientKeyFile === undefined), {
        path: ['clientKeyFile'],
        message: 'expected clientCertificateFile and clientKeyFile together',
      })
      .refine(({ version, clientCertificateFile }) => version === '2019' || clientCertificateFile === undefined, {
        path: ['clientCertificateFile'],
        message: 'expected only with version 2019',
      }),
    'password',
  ),
]);
export type Auth = z.infer<typeof Auth>;

const AccountName = z.string().regex(/^[^\\]+\\[^\\]+$/, 'expected DOMAIN\\name');

const clock = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, 'expected a time of day such as 22:00');

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** One Customer Engagement organization to repair. */
export const Organization = z
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
    auth: Auth.describe('how to log on'),
    parkingAccounts: z
      .array(AccountName)
      .min(1)
      .refine((all) => new Set(all.map(nameKey)).size === all.length, 'expected each account once; case makes no difference')
      .describe('AD accounts made for parking, in no record, nobody\u2019s own; as many as repairs are to run side by side'),
    parkingOu: z.string().min(1).optional().describe('DN below which parking accounts have to be; those elsewhere are not used'),
    trusted: z
      .array(z.enum(['employeeid', 'email', 'names']))
      .default([])
      .describe(
        'evidence that is enough to link a record whose user name is no account\u2019s, where only one account and one record have it: employeeid (with employeeID among listener.attributes), email, names (first and last); else a person decides',
      ),
    recreated: z
      .enum(['ask', 'repair'])
      .default('ask')
      .describe('repair: an account that was deleted and made anew under its name gets the record of the old one; ask: a person decides'),
    oneStep: z
      .boolean()
      .default(false)
      .describe('write the name at once, without a parking account, where the record is mapped to another account than the one it gets'),
    writeNames: z
      .boolean()
      .default(false)
      .describe(
        'write first and last name together with a new user name, where they differ from givenName and sn of the account, which have to be among listener.attributes; e-mail never',
      ),
    parallel: z
      .int()
      .min(1)
      .max(8)
      .optional()
      .describe('repairs side by side; as many as there are parking accounts, 8 at most, unless it is given'),
    changeWindow: z
      .strictObject({
        days: z
          .array(z.enum(WEEKDAYS))
          .min(1)
          .default([...WEEKDAYS])
          .describe('on which it begins'),
        from: clock.describe('HH:MM'),
        to: clock.describe('HH:MM; before from: on the next day'),
        timeZone: z.string().refine(isTimeZone, 'expected an IANA time zone, such as Europe/Berlin').default('UTC').describe('IANA name'),
      })
      .optional()
      .describe('repairs are begun only then; events are told at any time, and who is parked is always finished'),
    doNotTouch: z
      .strictObject({
        users: z.array(z.string().min(1)).default([]).describe('user names or systemuserids of records that are never written'),
        businessUnits: z.array(z.guid()).default([]).describe('businessunitids of units whose records are never written'),
        column: z
          .string()
          .regex(/^[a-z_][a-z0-9_]*$/, 'expected the logical name of a column of systemuser, such as employeeid')
          .optional()
          .describe('column of systemuser that marks records which are never written'),
        values: z.array(z.string()).default([]).describe('the values of that column that do'),
      })
      .refine(({ column, values }) => (column === undefined) === (values.length === 0), {
        path: ['values'],
        message: 'expected column and values together',
      })
      .prefault({}),
  })
  .refine(({ url, allowClearText }) => URL.parse(url)?.protocol === 'https:' || allowClearText, {
    path: ['url'],
    message: 'expected https://: http:// would send the credentials in clear text, which allowClearText allows',
  });
