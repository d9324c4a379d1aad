//! Clients of the `ldap` example log in with the passwords of a real LDAP server, OpenLDAP's `slapd`.

use std::{
    fs,
    process::{Child, Command, Stdio},
};

use crate::support::{Folder, Process, RawClient, eventually, line, lines};

const OK: &str = "+OK\r\n";
const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
const INTERNAL: &str = "-ERR internal error\r\n";
const BASE: &str = "dc=example,dc=org";

/// The configuration of `slapd`. The folder of the database follows.
const CONFIGURATION: &str = "\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix dc=example,dc=org
access to attrs=userPassword by anonymous auth by * none
access to * by users read
directory ";

const ENTRIES: &str = "\
dn: dc=example,dc=org
objectClass: domain
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: uid=alice,ou=people,dc=example,dc=org
objectClass: account
objectClass: simpleSecurityObject
uid: alice
userPassword: tea

dn: uid=bob,ou=people,dc=example,dc=org
objectClass: account
objectClass: simpleSecurityObject
uid: bob
userPassword: coffee

dn: cn=readers,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: readers
member: uid=alice,ou=people,dc=example,dc=org
member: uid=bob,ou=people,dc=example,dc=org

dn: cn=writers,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: writers
member: uid=alice,ou=people,dc=example,dc=org
";

/// An LDAP server on a unix socket. It is killed when it is dropped.
struct Slapd {
    child: Child,
    url: String,
    _folder: Folder,
}

impl Slapd {
    fn start() -> Self {
        let folder = Folder::new();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("slapd.conf"), format!("{CONFIGURATION}{}\n", folder.path().display()))
            .expect("the file can be written");
        fs::write(path("entries"), ENTRIES).expect("the file can be written");
        let add = Command::new("/usr/sbin/slapadd")
            .args(["-q", "-f", "slapd.conf", "-l", "entries"])
            .current_dir(folder.path())
            .status();
        assert!(add.expect("slapadd can be run (tests/run installs slapd)").success());
        let url = format!("ldapi://{}", path("socket").display().to_string().replace('/', "%2F"));
        let child = Command::new("/usr/sbin/slapd")
            .args(["-d", "0", "-f", "slapd.conf", "-h", &url])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("slapd can be run");
        eventually(|| RawClient::try_connect(&folder.socket("socket")).ok());
        Slapd { child, url, _folder: folder }
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_groups_of_a_user_say_what_it_may_do() {
    let slapd = Slapd::start();
    let server = Process::program_with("ldap", &[&slapd.url, BASE]);
    let mut client = RawClient::connect(server.address());
    client.send(lines(
        "SCORE.GET \n AUTH alice tea \n SCORE.ADD 5 \n AUTH bob coffee \n SCORE.GET \n SCORE.ADD 1",
    ));
    for reply in [
        "-NOAUTH Authentication required.\r\n",
        OK,
        ":5\r\n",
        OK,
        ":5\r\n",
        "-NOPERM this user has no permissions to run the 'score.add' command\r\n",
    ] {
        assert_eq!(client.reply(), reply);
    }
}

#[test]
fn other_passwords_are_refused() {
    let slapd = Slapd::start();
    let server = Process::program_with("ldap", &[&slapd.url, BASE]);
    for (number, (login, reply)) in [
        ("AUTH alice coffee", WRONG),
        ("AUTH nobody tea", WRONG),
        ("AUTH tea", WRONG),
        // The LDAP server accepts it.
        ("AUTH alice ''", WRONG),
        ("AUTH alice,ou=people tea", WRONG),
        ("AUTH a* tea", WRONG),
        ("AUTH alice tea", OK),
    ]
    .into_iter()
    .enumerate()
    {
        // Another address each time, because failed logins delay others of their address.
        let mut client = RawClient::connect_from([127, 0, 0, number as u8 + 2], server.address());
        client.send(format!("{login}\r\n"));
        assert_eq!(client.reply(), reply, "{login}");
    }
}

/// A directory that is down says nothing about a password.
#[test]
fn a_directory_that_is_down_is_an_internal_error() {
    let slapd = Slapd::start();
    let server = Process::program_with("ldap", &[&slapd.url, BASE]);
    let mut client = RawClient::connect(server.address());
    assert_eq!(client.ask(line("AUTH alice tea")), OK);
    drop(slapd);
    assert_eq!(client.ask(line("AUTH alice tea")), INTERNAL);
    // The client is still the user from before.
    assert_eq!(client.ask(line("SCORE.GET")), ":0\r\n");
}
