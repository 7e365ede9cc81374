import { readFile } from 'node:fs/promises';
import { LdapServer } from '../support/ldap-server.ts';
import { monotonic } from './clock.ts';
import { Crowd } from './crowd.ts';
import type { CrowdAnswer, CrowdCommand } from './crowded-directory.ts';

/** A crowd in a process of its own, so that the product has a processor's time beside it. Arguments: users, objects of an answer, key, certificate. */
const [users, perAnswer, keyFile = '', certFile = ''] = process.argv.slice(2);
const crowd = new Crowd(Number(users), Number(perAnswer));
const [key, cert] = await Promise.all([readFile(keyFile, 'utf8'), readFile(certFile, 'utf8')]);
const server = await LdapServer.start(crowd.answer, { key, cert });
const tell = (answer: CrowdAnswer) => process.send?.(answer);

process.on('disconnect', () => process.exit());
process.on('message', ({ number, sAMAccountName }: CrowdCommand) => {
  const at = monotonic();
  crowd.rename(number, sAMAccountName);
  tell({ at });
});
tell({ port: server.port });
