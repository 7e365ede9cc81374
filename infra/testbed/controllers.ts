import { join } from 'node:path';
import type { Authority } from './authority.ts';
import type { DomainPlan } from './content.ts';
import { Directory } from './directory.ts';
import { placeDomain } from './domain.ts';
import { ntdsOf } from './join.ts';
import { Replication } from './replication.ts';
import { DIRECTORY_PORTS, REPLICATION_PORTS } from './samba.ts';
import { type Member, Site } from './site.ts';

/** A domain controller of the bed before it has an address. */
export interface Seat {
  /** What it is called in the bed. */
  readonly name: string;
  /** Below the bed's path. */
  readonly folder: string;
  readonly member: Member;
  readonly ports: readonly number[];
}

export interface ControllersOptions {
  /** The bed's directory. */
  readonly path: string;
  readonly authority: Authority;
  readonly plan: DomainPlan;
  /** Bulk users besides the people. */
  readonly users: number;
  readonly seats: readonly [LocatedSeat, ...LocatedSeat[]];
  /** Whether they check NTLM logons for others. Default false. */
  readonly winbind?: boolean;
}

export type LocatedSeat = Seat & { readonly address: string };

/** The domain controllers of a domain, none of them started. */
export interface Controllers {
  /** Those that take writes, the first first. */
  readonly directories: readonly [Directory, ...Directory[]];
  readonly readOnly: Directory | undefined;
  /** Absent when there is but one. */
  readonly replication: Replication | undefined;
}

/** What is asked for of the first domain, and in which order; the first is never read-only. */
export function seatsOf(dcs: number, rodc: boolean): [Seat, ...Seat[]] {
  const ports = dcs > 1 || rodc ? REPLICATION_PORTS : DIRECTORY_PORTS;
  const more = Array.from({ length: dcs - 1 }, (_, index) => `dc${index + 2}`).map((name) => seat(name, name, false, ports));
  return [seat('dc1', 'directory', false, ports), ...more, ...(rodc ? [seat('rodc', 'rodc', true, ports)] : [])];
}

export const SECOND_FOREST: Seat = {
  name: 'second-forest',
  folder: 'second-forest',
  member: { hostName: 'DC1', readOnly: false },
  ports: DIRECTORY_PORTS,
};

function seat(name: string, folder: string, readOnly: boolean, ports: readonly number[]): Seat {
  return { name, folder, member: { hostName: name.toUpperCase(), readOnly }, ports };
}

/** Everything up to the start: database files, names, certificates, configuration. */
export async function prepareControllers({
  path,
  authority,
  plan,
  users,
  seats,
  winbind = false,
}: ControllersOptions): Promise<Controllers> {
  const [first, ...others] = seats;
  const place = ({ folder }: Seat) => join(path, folder, 'domain');
  const members = [first.member, ...others.map(({ member }) => member)] as const;
  const content = await placeDomain({ plan, users, members }, [place(first), ...others.map(place)]);
  const site = others.length === 0 ? undefined : await siteOf(join(path, 'site'), plan, seats, place(first));
  const shared = { authority, plan, content, winbind, passwords: join(place(first), 'passwords'), ...(site && { site }) };
  const prepare = (seat: LocatedSeat) => Directory.prepare({ ...seat, ...shared, path: join(path, seat.folder) });
  const [directory, ...more] = await Promise.all([prepare(first), ...others.map(prepare)]);
  return {
    directories: [directory, ...more.filter(({ readOnly }) => !readOnly)],
    readOnly: more.find(({ readOnly }) => readOnly),
    replication: site && new Replication(site, [directory, ...more]),
  };
}

async function siteOf(path: string, plan: DomainPlan, seats: readonly LocatedSeat[], domain: string): Promise<Site> {
  const ntds = await ntdsOf(domain);
  const locations = seats.map(({ member, address }) => ({ ...member, address, ntds: ntds[member.hostName] ?? '' }));
  return await Site.write(path, plan, locations);
}
