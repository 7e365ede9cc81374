import { z } from 'zod';
import { parseEndpoint } from '../directory/endpoint.ts';
import { isDnsServer } from '../directory/names.ts';
import { duration, either, NO_CREDENTIALS, SEMICOLON, secret, withoutCredentials } from './values.ts';

/** What the listener itself will make of it. */
function isEndpoint(address: string): boolean {
  try {
    parseEndpoint(address, false);
    return true;
  } catch {
    return false;
  }
}

/** Of a domain or a site, as a part of the names that DNS is asked for. */
const DNS_LABEL = '[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';

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

/** One domain to listen to. */
export const Directory = either(
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
