import type { Random } from '../support/chain-random.ts';
import type { FakeDirectory } from '../support/fake-directory.ts';

/** The account of whoever waits for a change of his own: it is left alone. */
export const MARK = 'mark';

/** Some of what can happen to accounts. */
export function changeAccounts(directory: FakeDirectory, random: Random): void {
  for (let left = random.below(4); left > 0; left -= 1) random.pick(CHANGES)(directory, random);
}

/** @returns whether there was one */
export function restoreOne(directory: FakeDirectory, random: Random): boolean {
  const dead = directory.objects().filter(({ dn }) => dn.includes('\\0ADEL:'));
  if (dead.length === 0) return false;
  directory.restore(random.pick(dead).objectGUID, `CN=${unused(directory)},${directory.namingContext}`);
  return true;
}

export function deleteOne(directory: FakeDirectory, random: Random): void {
  if (living(directory).length > 3) directory.delete(random.pick(living(directory)));
}

const OPTIONAL: readonly string[] = ['displayName', 'givenName', 'sn', 'mail', 'userPrincipalName'];

type ChangeOfOne = (directory: FakeDirectory, random: Random) => unknown;

const CHANGES: readonly ChangeOfOne[] = [
  (directory, random) => {
    const sAMAccountName = unused(directory);
    directory.addUser({ sAMAccountName, attributes: random.chance(0.5) ? { displayName: `Łé ${sAMAccountName}\0 😀` } : {} });
  },
  (directory, random) => directory.modify(one(directory, random), { sAMAccountName: unused(directory) }),
  (directory, random) => directory.modify(one(directory, random), { [optional(random)]: unused(directory) }),
  (directory, random) =>
    directory.modify(one(directory, random), { [optional(random)]: null, sAMAccountName: unused(directory).toUpperCase() }),
  (directory, random) => directory.modify(one(directory, random), { userAccountControl: random.pick(['512', '514', '66048']) }),
  (directory, random) => directory.rename(one(directory, random), `CN=${unused(directory)},OU=Elsewhere,${directory.namingContext}`),
  deleteOne,
  restoreOne,
  (directory) => {
    const cn = unused(directory);
    const values = { objectClass: ['top', 'user', 'computer'], sAMAccountName: `${cn}$`, userAccountControl: '4096' };
    directory.add(`CN=${cn},${directory.namingContext}`, values);
  },
];

function living(directory: FakeDirectory): string[] {
  return [...directory.identities().values()].flatMap(({ objectGUID, sAMAccountName }) => (sAMAccountName === MARK ? [] : [objectGUID]));
}

function one(directory: FakeDirectory, random: Random): string {
  return random.pick(living(directory));
}

function unused({ highestCommittedUSN }: FakeDirectory): string {
  return `n${highestCommittedUSN}`;
}

function optional(random: Random): string {
  return random.pick(OPTIONAL);
}
