import { z } from 'zod';

/**
 * Who an account is, as far as the watched attributes tell. The key is objectGUID, never a name: names are re-used.
 * An attribute that is not set in the directory is absent. The DN is no part of it: renaming a parent OU changes it unseen.
 */
export const Identity = z.looseObject({
  /** Lower-case text form, 8-4-4-4-12 (MS-DTYP 2.3.4.3). */
  objectGUID: z.guid(),
  objectSid: z.string().optional(),
  /** NetBIOS name of the domain: what stands before the backslash in a Customer Engagement user name. */
  domain: z.string(),
  sAMAccountName: z.string(),
  userPrincipalName: z.string().optional(),
  displayName: z.string().optional(),
  givenName: z.string().optional(),
  sn: z.string().optional(),
  mail: z.string().optional(),
  /** False when ACCOUNTDISABLE (0x2) is set in userAccountControl. */
  enabled: z.boolean(),
});

export type Identity = z.infer<typeof Identity>;

/** The attributes that are watched besides those that always are, unless a setting says otherwise; more of them become properties too. */
export const PROFILE_ATTRIBUTES = ['displayName', 'givenName', 'sn', 'mail'] as const;

/** `DOMAIN\name`, as Customer Engagement shows it in domainname. */
export function domainName(identity: Pick<Identity, 'domain' | 'sAMAccountName'>): string {
  return `${identity.domain}\\${identity.sAMAccountName}`;
}

/** The parts of `DOMAIN\\name`; both empty for a name of another form. */
export function domainNameParts(userName: string): Pick<Identity, 'domain' | 'sAMAccountName'> {
  const [domain = '', sAMAccountName = ''] = userName.split('\\');
  return domain === '' || sAMAccountName === '' ? { domain: '', sAMAccountName: '' } : { domain, sAMAccountName };
}

/** Whether a Customer Engagement user name is a UPN, as that of users outside its domain and under claims, instead of `DOMAIN\\name`. */
export function isUpn(userName: string): boolean {
  return userName.includes('@') && !userName.includes('\\');
}

/** The user name of an account in the form that another name has; undefined when the account has no UPN. */
export function userNameLike(
  form: string,
  identity: Pick<Identity, 'domain' | 'sAMAccountName' | 'userPrincipalName'>,
): string | undefined {
  return isUpn(form) ? identity.userPrincipalName : domainName(identity);
}

/** Active Directory and Customer Engagement both compare account names without regard to case. */
export function sameName(a: string, b: string): boolean {
  return nameKey(a) === nameKey(b);
}

/** The one of these names that equals a name. */
export function namedAlike(names: readonly string[], name: string): string | undefined {
  return names.find((one) => sameName(one, name));
}

/** The form of a name that equal names share; for use as a key. */
export function nameKey(name: string): string {
  return name.toLowerCase();
}

/** What is known before an observation is looked at. */
export interface KnownIdentities {
  identity(objectGUID: string): Identity | undefined;
  /** objectGUID of the account that has this name now, as far as is known. */
  holder(domain: string, sAMAccountName: string): string | undefined;
  /** objectGUID of the account that gave this name up last. */
  formerHolder(domain: string, sAMAccountName: string): string | undefined;
}
