import type { Answered, Probed, PutBack } from '../customer-engagement/probe/probe.ts';
import { printable } from '../runtime/printable.ts';

/** What a probe found out, to be shown to others: without secrets, and of people without anything but the name of the test user. */
export interface ProbeReport {
  readonly namesake: string;
  /** ISO 8601. */
  readonly date: string;
  readonly customerEngagement: { readonly version: string; readonly apiVersion: string; readonly logon: string };
  readonly testUser: string;
  readonly mode: 'read only' | 'with writing';
  readonly putBack: PutBack;
  readonly findings: readonly Answered[];
  readonly notes: readonly string[];
  readonly problems: readonly string[];
  /** What a person has to do now, since it could not be put back. */
  readonly byHand: readonly string[];
}

export interface ReportFacts extends Pick<ProbeReport, 'namesake' | 'date' | 'customerEngagement' | 'mode'> {
  readonly probed: Probed;
  readonly user: { readonly systemuserid: string; readonly domainname: string; readonly userPrincipalName: string | undefined };
  readonly organization: { readonly name: string; readonly url: string; readonly parkingAccounts: readonly string[] };
}

export function probeReport({ probed, user, organization, ...facts }: ReportFacts): ProbeReport {
  const mask = masking(user, organization);
  const findings = probed.findings.map(({ observations, advice, ...finding }) => ({
    ...finding,
    observations: observations.map(mask),
    ...(advice !== undefined && { advice }),
  }));
  const { putBack } = probed;
  const byHand = putBack === 'not put back' ? byHandOf(user) : [];
  return {
    ...facts,
    testUser: user.domainname,
    putBack,
    findings,
    notes: probed.notes.map(mask),
    problems: probed.problems.map(mask),
    byHand,
  };
}

export function describeProbe(report: ProbeReport): string {
  const { namesake, date, customerEngagement, testUser, mode, putBack, findings, notes, problems, byHand } = report;
  const { version, apiVersion, logon } = customerEngagement;
  const count = (wanted: Answered['verdict']) => findings.filter(({ verdict }) => verdict === wanted).length;
  const lines = [
    `Namesake ${namesake}, probe of Dynamics 365 Customer Engagement (on-premises), ${date}`,
    `Server ${version}, Web API ${apiVersion}, logging on by ${logon}`,
    `Test user ${testUser}, ${mode}: ${putBack}`,
    '',
    ...findings.flatMap(({ number, verdict, assumption, observations, advice }) => [
      `${number}  ${verdict.toUpperCase()}  ${assumption}`,
      ...observations.map((text) => `      seen: ${text}`),
      ...(advice === undefined ? [] : [`      to do: ${advice}`]),
    ]),
    '',
    `${count('confirmed')} confirmed, ${count('refuted')} refuted, ${count('unknown')} unknown. What each assumption means: docs/assumptions.md.`,
    ...notes.map((note) => `Note: ${note}`),
    ...problems.map((problem) => `PROBLEM: ${problem}`),
    ...byHand,
  ];
  return lines.map(printable).join('\n');
}

function byHandOf({ systemuserid, domainname }: ReportFacts['user']): string[] {
  return [
    `THE RECORD ${systemuserid} IS NOT AS IT WAS. Its user name has to be ${domainname}.`,
    'Start "namesake repair": the log says what is to be done, and it does it. Or by hand, as an administrator of Customer Engagement: open the',
    `user, set User Name to a parking account and save, then to ${domainname} and save.`,
  ];
}

/** Takes out of texts what nobody else needs to know: ids, the server, the names of other accounts. */
function masking({ systemuserid, domainname, userPrincipalName }: ReportFacts['user'], organization: ReportFacts['organization']) {
  const host = URL.parse(organization.url)?.host ?? '';
  const others = organization.parkingAccounts.map((account, index) => [account, `parking account ${index + 1}`] as const);
  const known: readonly (readonly [string, string])[] = [
    ...others,
    ...(host === '' ? [] : [[host, '(server)'] as const]),
    [`${organization.name}: `, ''],
  ];
  const own = [systemuserid, domainname, userPrincipalName ?? ''].map((text) => text.toLowerCase());
  return (text: string): string => {
    const named = known.reduce((masked, [what, by]) => replaced(masked, what, by), text);
    return named
      .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/gi, (id) => (own.includes(id.toLowerCase()) ? id : '(id)'))
      .replaceAll(/[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g, (address) => (own.includes(address.toLowerCase()) ? address : '(address)'));
  };
}

/** Without regard to case. */
function replaced(text: string, what: string, by: string): string {
  return text.replaceAll(new RegExp(what.replaceAll(/[^\w]/g, '\\$&'), 'gi'), () => by);
}
