#!/usr/bin/python3
"""Makes the test bed's domain, with everybody in it, straight in the database files: no server runs meanwhile.

usage: provision.py TARGET < recipe.json

Writes TARGET/private, TARGET/state (the domain), TARGET/passwords/NAME (mode 0600) and TARGET/content.json. Nothing
in TARGET depends on where it will be served from: address, certificates and directories come with the smb.conf that
is written at each start.
"""
import json
import logging
import os
import secrets
import sys
import uuid

import ldb
from samba import dsdb, param
from samba.auth import system_session
from samba.dcerpc import security
from samba.ndr import ndr_pack, ndr_unpack
from samba.provision import provision
from samba.samdb import SamDB

# Accounts in one transaction: what it has changed is held in memory until it ends.
TRANSACTION = 500
GET_CHANGES = "1131f6aa-9c07-11d1-f79f-00c04fc2dcd2"
NEVER_EXPIRES = dsdb.UF_NORMAL_ACCOUNT | dsdb.UF_DONT_EXPIRE_PASSWD
NO_PASSWORD = dsdb.UF_NORMAL_ACCOUNT | dsdb.UF_PASSWD_NOTREQD
FOREVER = "-9223372036854775808"


def new_password():
    return secrets.token_urlsafe(18) + "aA1!"


def keep_password(target, name):
    password = new_password()
    path = os.path.join(target, "passwords", name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
    return password


def make_domain(target, recipe):
    """An smb.conf of its own keeps the machine's /etc/samba/smb.conf out of it."""
    conf = os.path.join(target, "provision.conf")
    with open(conf, "w") as file:
        file.write(
            "[global]\n"
            f"netbios name = {recipe['hostName']}\nrealm = {recipe['realm']}\nworkgroup = {recipe['netbios']}\n"
            "server role = active directory domain controller\nserver services = ldap\n"
            f"private dir = {target}/private\nstate directory = {target}/state\ncache directory = {target}/cache\n"
            f"lock directory = {target}/run\npid directory = {target}/run\nbinddns dir = {target}/bind-dns\n"
            f"[sysvol]\npath = {target}/state/sysvol\n[netlogon]\npath = {target}/state/sysvol/netlogon\n"
        )
    lp = param.LoadParm()
    lp.load(conf)
    log = logging.getLogger("provision")
    provision(
        log, system_session(), smbconf=conf, lp=lp, realm=recipe["realm"], domain=recipe["netbios"], hostname=recipe["hostName"],
        hostip="127.0.0.1", hostip6=None, serverrole="active directory domain controller", dom_for_fun_level=dsdb.DS_DOMAIN_FUNCTION_2008_R2,
        dns_backend="NONE", backend_store="mdb", adminpass=keep_password(target, "administrator"),
    )
    os.unlink(conf)
    # Nobody else reads these files yet, and a half-made domain is thrown away: waiting for the disk buys nothing. Batch
    # mode merges index entries once per transaction instead of at each add, which would cost more with every user.
    url = os.path.join(target, "private", "sam.ldb")
    return SamDB(url=url, session_info=system_session(), lp=lp, flags=ldb.FLG_NOSYNC, options=["batch_mode:1"])


class Domain:
    def __init__(self, db, recipe):
        self.db = db
        self.nc = str(db.domain_dn())
        self.realm = recipe["realm"].lower()

    def organizational_unit(self, name):
        self.db.add({"dn": f"OU={name},{self.nc}", "objectClass": "organizationalUnit"})

    def account(self, ou, cn, name, control, password=None, **more):
        entry = {
            "dn": f"CN={cn},OU={ou},{self.nc}", "objectClass": "user", "sAMAccountName": name,
            "userPrincipalName": f"{name}@{self.realm}", "userAccountControl": str(control), **more,
        }
        if password is not None:
            entry["clearTextPassword"] = password.encode("utf-16-le")
        self.db.add(entry)

    def person(self, ou, given, sn, name, control, password=None):
        full = f"{given} {sn}"
        mail = f"{given}.{sn}@{self.realm}".lower().replace(" ", "")
        self.account(ou, full, name, control, password, givenName=given, sn=sn, displayName=full, mail=mail)

    def keep_passwords_valid(self):
        """A directory taken from the cache a year later must still let its accounts in."""
        message = ldb.Message(ldb.Dn(self.db, self.nc))
        message["maxPwdAge"] = ldb.MessageElement(FOREVER, ldb.FLAG_MOD_REPLACE, "maxPwdAge")
        message["minPwdAge"] = ldb.MessageElement("0", ldb.FLAG_MOD_REPLACE, "minPwdAge")
        self.db.modify(message)

    def grant(self, dn, ace):
        found = self.db.search(dn, scope=ldb.SCOPE_BASE, attrs=["nTSecurityDescriptor"], controls=["show_deleted:1", "sd_flags:1:4"])
        domain = security.dom_sid(self.db.get_domain_sid())
        acl = ndr_unpack(security.descriptor, found[0]["nTSecurityDescriptor"][0]).as_sddl(domain)
        first = acl.index("(", acl.index("D:"))
        changed = security.descriptor.from_sddl(acl[:first] + ace + acl[first:], domain)
        message = ldb.Message(ldb.Dn(self.db, dn))
        message["sd"] = ldb.MessageElement(ndr_pack(changed), ldb.FLAG_MOD_REPLACE, "nTSecurityDescriptor")
        self.db.modify(message, ["show_deleted:1", "sd_flags:1:4"])

    def grant_listening(self, name):
        """Replication of changes, and sight of deleted objects, which Samba checks besides. No secrets, no writes."""
        found = self.db.search(self.nc, expression=f"(sAMAccountName={name})", attrs=["objectSid"])
        sid = ndr_unpack(security.dom_sid, found[0]["objectSid"][0])
        self.grant(self.nc, f"(OA;;CR;{GET_CHANGES};;{sid})")
        self.grant(f"CN=Deleted Objects,{self.nc}", f"(A;CI;LCRPRC;;;{sid})")

    def describe(self, ou):
        text = ["sAMAccountName", "userPrincipalName", "displayName", "givenName", "sn", "mail"]
        for entry in self.db.search(f"OU={ou},{self.nc}", scope=ldb.SCOPE_ONELEVEL, attrs=["objectGUID", "objectSid", *text]):
            described = {name: str(entry[name][0]) for name in text if name in entry}
            described["objectGUID"] = str(uuid.UUID(bytes_le=bytes(entry["objectGUID"][0])))
            described["objectSid"] = str(ndr_unpack(security.dom_sid, entry["objectSid"][0]))
            yield {"dn": str(entry.dn), **described}

    def described(self, ou):
        """Oldest first: the last part of a SID counts up."""
        return sorted(self.describe(ou), key=lambda account: int(account["objectSid"].rsplit("-", 1)[1]))


def fill(domain, target, recipe):
    db = domain.db
    db.transaction_start()
    domain.keep_passwords_valid()
    for name in ("People", "Staff", "Parking", "Service", "Bulk"):
        domain.organizational_unit(name)
    for given, sn, name in recipe["people"]:
        domain.person("People", given, sn, name, NEVER_EXPIRES, keep_password(target, name))
    for name in recipe["parking"]:
        domain.account("Parking", name, name, NEVER_EXPIRES, new_password())
    for name in recipe["service"]:
        domain.account("Service", name, name, NEVER_EXPIRES, keep_password(target, name))
    db.transaction_commit()
    db.transaction_start()
    domain.grant_listening(recipe["listener"])
    db.transaction_commit()
    for first in range(1, recipe["users"] + 1, TRANSACTION):
        db.transaction_start()
        for number in range(first, min(first + TRANSACTION, recipe["users"] + 1)):
            # No password: deriving its keys is most of an account's cost.
            domain.person("Bulk", "Bulk", f"User {number:05}", f"user{number:05}", NO_PASSWORD)
        db.transaction_commit()


def main():
    target = os.path.abspath(sys.argv[1])
    recipe = json.load(sys.stdin)
    logging.basicConfig(level=logging.WARNING)
    os.umask(0o077)
    for name in ("passwords", "run", "cache"):
        os.makedirs(os.path.join(target, name))
    domain = Domain(make_domain(target, recipe), recipe)
    fill(domain, target, recipe)
    content = {"namingContext": domain.nc, "people": domain.described("People"), "parking": domain.described("Parking")}
    with open(os.path.join(target, "content.json"), "w") as file:
        json.dump(content, file)


main()
