import { z } from 'zod';
import { nameKey } from '../../streams/identity.ts';
import { WEEKDAYS } from '../../streams/repairer/change-window.ts';
import { duration, either, NO_CREDENTIALS, secret, withoutCredentials } from './values.ts';

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
