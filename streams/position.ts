import { z } from 'zod';

/**
 * Where a listener stands in one naming context of one domain controller. Good only together with all it was read with:
 * any other filter, attribute list or domain controller needs a full read (MS-ADTS 3.1.1.3.4.1.3).
 */
export const Position = z.object({
  namingContext: z.string(),
  /** dnsHostName of the domain controller. */
  dc: z.string(),
  /** Of that domain controller's database; a restored one has another. */
  invocationId: z.string(),
  /** As rootDSE told before the read; text, since a 64-bit number does not fit into a JavaScript one. */
  highestCommittedUSN: z.string(),

  filter: z.string(),
  attributes: z.array(z.string()),
  /** DirSync cookie, base64; opaque, of any length. Empty: the first read has begun, and how far it came is not known. */
  cookie: z.string(),
});

export type Position = z.infer<typeof Position>;

/** Stands in the log from the first page of the baseline to its end, so that a baseline that was cut off is no lost position. */
export function begun(namingContext: string, dc: string): Position {
  return { namingContext, dc, invocationId: '', highestCommittedUSN: '0', filter: '', attributes: [], cookie: '' };
}

/** The directory was read to its end at least once. */
export function isReadWhole(position: Pick<Position, 'cookie'> | undefined): boolean {
  return position !== undefined && position.cookie !== '';
}
