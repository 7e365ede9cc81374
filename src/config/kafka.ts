import { z } from 'zod';
import { either, period, secret } from './values.ts';

/** Nothing but a host and a port, so that nothing in it needs to be kept secret. The client of the brokers knows no IPv6 addresses. */
function isBroker(address: string): boolean {
  const port = Number(/^[A-Za-z0-9._-]+:(\d{1,5})$/.exec(address)?.[1]);
  return port >= 1 && port <= 65_535;
}

/** The log on Apache Kafka. */
export const Kafka = z
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
