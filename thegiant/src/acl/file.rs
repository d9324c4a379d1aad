//! The aclfile: one line for each user.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
    process,
};

use super::{Catalog, User, Users, rule_error::Mistake, user::join_selectors};

impl Users {
    /// Reads the users from a file. `default` is the user of that name if the file does not have it.
    ///
    /// # Errors
    /// Returns the text of `ACL LOAD` if the file cannot be read or has a mistake.
    pub(crate) fn load(
        path: &Path,
        catalog: &Catalog,
        all_channels: bool,
        default: User,
    ) -> Result<Self, String> {
        let text = fs::read(path).map_err(|error| {
            format!("Error loading ACLs, opening file '{}': {}", path.display(), reason(&error))
        })?;
        Users::parse(&text, &path.display().to_string(), catalog, all_channels, default)
    }

    /// Reads the users from the text of a file. `file` names it in errors.
    ///
    /// # Errors
    /// Returns the text of `ACL LOAD`, with all mistakes.
    pub(crate) fn parse(
        text: &[u8],
        file: &str,
        catalog: &Catalog,
        all_channels: bool,
        default: User,
    ) -> Result<Self, String> {
        let mut users = Users::none();
        let mut errors = String::new();
        for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
            let line = line.trim_ascii();
            if !line.is_empty() {
                let place = format!("{file}:{number}");
                users.add_line(line, &place, number, catalog, all_channels, &mut errors);
            }
        }
        if !errors.is_empty() {
            errors.push_str(
                "WARNING: ACL errors detected, no change to the previously active ACL rules was performed",
            );
            return Err(errors);
        }
        if users.default_user().is_none() {
            users.set(default);
        }
        Ok(users)
    }

    /// Adds the user of a line, or the errors of the line to `errors`.
    fn add_line(
        &mut self,
        line: &[u8],
        place: &str,
        number: usize,
        catalog: &Catalog,
        all_channels: bool,
        errors: &mut String,
    ) {
        let words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let [b"user", name, rules @ ..] = words.as_slice() else {
            *errors += &format!("{place} should start with user keyword followed by the username. ");
            return;
        };
        let shown = String::from_utf8_lossy(name);
        if !Users::is_name(name) {
            *errors += &format!("'{place}: username '{shown}' contains invalid characters. ");
        } else if self.get(name).is_some() {
            *errors += &format!("WARNING: Duplicate user '{shown}' found on line {number}. ");
        } else {
            let mut user = User::new(name, catalog, all_channels);
            apply_rules(&mut user, rules, place, catalog, all_channels, errors);
            self.set(user);
        }
    }

    /// Writes the users into a file. If that fails, the file stays as it was.
    pub(crate) fn save(&self, path: &Path, catalog: &Catalog) -> io::Result<()> {
        let mut text = Vec::new();
        for line in self.lines(catalog) {
            text.extend(line);
            text.push(b'\n');
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".tmp-{}", process::id()));
        let temporary = Path::new(&temporary);
        let written = write_private(temporary, &text).and_then(|()| fs::rename(temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(temporary);
        }
        written
    }
}

fn apply_rules(
    user: &mut User,
    rules: &[&[u8]],
    place: &str,
    catalog: &Catalog,
    all_channels: bool,
    errors: &mut String,
) {
    let Ok(rules) = join_selectors(rules.iter().copied()) else {
        *errors += &format!("{place}: Unmatched parenthesis in selector definition.");
        return;
    };
    let mut has_mistake = false;
    for rule in &rules {
        let rule = rule.trim_ascii();
        match user.try_apply(rule, catalog, all_channels) {
            Ok(()) => {}
            Err(mistake @ Mistake::UnknownCommand) => {
                let rule = String::from_utf8_lossy(rule);
                *errors += &format!("{place}: Error in applying operation '{rule}': {mistake}. ");
            }
            // A rule with another mistake may have a password. Later mistakes may follow from the first one.
            Err(mistake) if !has_mistake => {
                *errors += &format!("{place}: {mistake}. ");
                has_mistake = true;
            }
            Err(_) => {}
        }
    }
}

/// Writes a file that only its owner can read, because it has the hashes of passwords.
fn write_private(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = create_private(path)?;
    file.write_all(text)?;
    file.sync_all()
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Returns the text of an error as C has it, without the number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;
    use crate::acl::sample::catalog;

    fn parse(text: &str) -> Result<Users, String> {
        Users::parse(text.as_bytes(), "users.acl", &catalog(), false, User::default_user(&catalog()))
    }

    fn lines(users: &Users) -> Vec<String> {
        users.lines(&catalog()).map(|line| String::from_utf8(line).expect("text")).collect()
    }

    #[test]
    fn each_line_has_a_user() {
        let users = parse("\nuser bob on nopass +get  (~a\t +set)\r\n\n  user Alice off \n").expect("users");
        assert_eq!(
            lines(&users),
            [
                "user Alice off resetchannels -@all",
                "user bob on nopass resetchannels -@all +get (~a resetchannels -@all +set)",
                "user default on nopass ~* &* +@all",
            ]
        );
        let users = parse("user default off").expect("users");
        assert_eq!(lines(&users), ["user default off resetchannels -@all"]);
        assert!(users.default_user().is_some());
    }

    #[test]
    fn mistakes_have_the_texts_of_redis() {
        const END: &str =
            "WARNING: ACL errors detected, no change to the previously active ACL rules was performed";
        for (text, expected) in [
            ("on\n", "users.acl:1 should start with user keyword followed by the username. "),
            ("\nuser\n", "users.acl:2 should start with user keyword followed by the username. "),
            ("user a\tb on", "'users.acl:1: username 'a\tb' contains invalid characters. "),
            ("user a\nuser b\nuser a", "WARNING: Duplicate user 'a' found on line 3. "),
            ("user a (+get", "users.acl:1: Unmatched parenthesis in selector definition."),
            ("user a nope >secret nope", "users.acl:1: Syntax error. "),
            (
                "user a +nope -@no\nuser b x",
                "users.acl:1: Error in applying operation '+nope': Unknown command or category name in ACL. \
                 users.acl:1: Error in applying operation '-@no': Unknown command or category name in ACL. \
                 users.acl:2: Syntax error. ",
            ),
        ] {
            assert_eq!(parse(text).expect_err(text), format!("{expected}{END}"));
        }
    }

    #[test]
    fn a_saved_file_is_loaded_again() {
        let catalog = catalog();
        let path = env::temp_dir().join(format!("thegiant-users-{}.acl", process::id()));
        let missing = Users::load(&path, &catalog, false, User::default_user(&catalog)).expect_err("no file");
        let expected =
            format!("Error loading ACLs, opening file '{}': No such file or directory", path.display());
        assert_eq!(missing, expected);

        let users = parse("user a on >secret ~a* +@read (&news:* +subscribe)\nuser default on nopass +@all")
            .expect("users");
        users.save(&path, &catalog).expect("a file");
        let loaded = Users::load(&path, &catalog, false, User::default_user(&catalog)).expect("users");
        assert_eq!(lines(&loaded), lines(&users));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        }
        fs::remove_file(&path).expect("a file");
        assert!(users.save(&path.join("file"), &catalog).is_err());
    }
}
