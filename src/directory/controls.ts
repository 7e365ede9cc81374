/** Gives what changed since a cookie (MS-ADTS 3.1.1.3.4.1.3). */
export const DIRSYNC = '1.2.840.113556.1.4.841';

/** Turns a search into one that answers when something changes (MS-ADTS 3.1.1.3.4.1.9). */
export const NOTIFICATION = '1.2.840.113556.1.4.528';

/** Finds deleted objects too (MS-ADTS 3.1.1.3.4.1.14). */
export const SHOW_DELETED = '1.2.840.113556.1.4.417';

/** A matching rule that follows groups in groups (LDAP_MATCHING_RULE_IN_CHAIN, MS-ADTS 3.1.1.3.4.4.3). */
export const MEMBER_OF_IN_CHAIN = '1.2.840.113556.1.4.1941';

/** Finds also those that the recycle bin has no more of than a tombstone, which the one above hides (MS-ADTS 3.1.1.3.4.1.26). */
export const SHOW_RECYCLED = '1.2.840.113556.1.4.2064';

/** Gives a result in several answers (RFC 2696); not together with DirSync. */
export const PAGED_RESULTS = '1.2.840.113556.1.4.319';
