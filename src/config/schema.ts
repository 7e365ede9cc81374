import { z } from 'zod';
import { nameKey, PROFILE_ATTRIBUTES } from '../../streams/identity.ts';
import { whyNotWatched } from '../directory/schema.ts';
import { Directory } from './directory.ts';
import { Kafka } from './kafka.ts';
import { Organization } from './organization.ts';
import { duration, pause, period, UNITS } from './values.ts';

/**
 * The look at the user records is also when a repairer reads up the identities, if nothing else makes it do so. The topics keep
 * the mark of a deletion for a day or longer: whoever reads up less often could miss one.
 */
const LONGEST_LINK_EVERY = 12 * UNITS.h;
const linkEvery = period
  .refine((milliseconds) => milliseconds > 0, 'expected more than nothing')
  .refine((milliseconds) => milliseconds <= LONGEST_LINK_EVERY, 'expected 12h at most: whoever looks less often could miss deletions');

/** Everything that can be set. Help, environment variables, flags and the checks are all made from this. */
export const Configuration = z
  .strictObject({
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
      .strictObject({
        linkEvery: linkEvery.prefault('15m').describe('look at all user records this often, 12h at most'),
        newsEvery: duration.prefault('1m').describe('look at the user records that were modified since this often'),
        nameLag: period
          .prefault('15m')
          .describe(
            'how long a server may take a name for the account that had it before: until then a record is not given it where that account is on no other one, since nothing would show the mistake; 0s: at once',
          ),
      })
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
  })
  .superRefine(({ organizations, listener }, context) => {
    const isWatched = (attribute: string) => listener.attributes.some((name) => nameKey(name) === nameKey(attribute));
    for (const [index, { trusted, writeNames }] of organizations.entries()) {
      if (trusted.includes('employeeid') && !isWatched('employeeID')) {
        const message = 'expected employeeID among listener.attributes, or no account has one to compare with';
        context.addIssue({ code: 'custom', path: ['organizations', index, 'trusted'], message });
      }
      const unwatched = ['givenName', 'sn'].filter((attribute) => !isWatched(attribute));
      if (writeNames && unwatched.length > 0) {
        const message = `expected ${unwatched.join(' and ')} among listener.attributes, or there is no name to write: add what is missing there, or set this to false`;
        context.addIssue({ code: 'custom', path: ['organizations', index, 'writeNames'], message });
      }
    }
  });
export type Configuration = z.infer<typeof Configuration>;
