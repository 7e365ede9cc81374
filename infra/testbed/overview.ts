import type { Bed } from './bed.ts';
import { partName } from './commands.ts';
import type { Directory } from './directory.ts';

/** Everything a person needs to reach the parts, with commands that work as they stand. */
export function describeBed(bed: Bed): string {
  const { directory, crm } = bed;
  const search = `LDAPTLS_CACERT=${directory.caFile} ldapsearch -LLL -x -H ${directory.url}`;
  const modify = `LDAPTLS_CACERT=${directory.caFile} ldapmodify -x -H ${directory.url}`;
  const person = directory.people[0];
  const lines = [
    `Directory         ${directory.url}   ${directory.hostName}, realm ${directory.realm}`,
    `  naming context  ${directory.namingContext}`,
    `  CA              ${directory.caFile}`,
    `  for the product ${directory.service.bindDn}, password in ${directory.service.passwordFile}`,
    `  administrator   ${directory.admin.bindDn}, password in ${directory.admin.passwordFile}`,
    `  parking         ${directory.parkingAccounts[0]} to ${directory.parkingAccounts.at(-1)}`,
    `  Kerberos        KRB5_CONFIG=${directory.krb5ConfFile}`,
    `  look            ${search} -D ${directory.service.bindDn} -y ${directory.service.passwordFile} -b '${person?.dn}' sAMAccountName displayName`,
    `  rename          printf 'dn: ${person?.dn}\\nchangetype: modify\\nreplace: sAMAccountName\\nsAMAccountName: new.name\\n' | ${modify} -D ${directory.admin.bindDn} -y ${directory.admin.passwordFile}`,
    ...bed.controllers.slice(1).flatMap(describeAnother),
  ];
  if (bed.hasBroker) {
    const bootstrap = bed.broker.bootstrap.join(',');
    lines.push(`Broker            ${bootstrap}`, `  look            kcat -b ${bootstrap} -L`);
  }
  lines.push(
    `CE stand-in       ${crm.url}   its control port ${crm.controlUrl}`,
    `  token in        ${crm.tokenFile}`,
    `  look            curl -s --cacert ${crm.caFile} -H "Authorization: Bearer $(cat ${crm.tokenFile})" '${crm.url}/api/data/v9.1/systemusers?$select=fullname,domainname'`,
    `  can log on?     curl -s '${crm.controlUrl}/logon?account=${person?.objectGUID}'`,
    `Logs              ${bed.path}/*/*.log`,
  );
  return lines.join('\n');
}

/** In another domain all but the CA is different; in the same one everything is the same but where it is. */
function describeAnother(directory: Directory): string[] {
  const { service } = directory;
  const look = `LDAPTLS_CACERT=${directory.caFile} ldapsearch -LLL -x -H ${directory.url} -D ${service.bindDn} -y ${service.passwordFile}`;
  return [
    `${partName(directory).padEnd(17)} ${directory.url}   ${directory.hostName}${directory.readOnly ? ', read-only: the service accounts alone log on' : ''}`,
    `  for the product ${service.bindDn}, password in ${service.passwordFile}`,
    `  look            ${look} -b '${directory.people[0]?.dn}' sAMAccountName displayName`,
  ];
}
