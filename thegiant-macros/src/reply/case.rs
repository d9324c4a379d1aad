//! The styles of names of `rename_all`.

use syn::LitStr;

/// A style of names.
#[derive(Clone, Copy)]
pub(crate) enum Case {
    Lower,
    Upper,
    Snake,
    Kebab,
    Camel,
}

/// The styles by the text that names them.
const CASES: [(&str, Case); 5] = [
    ("lowercase", Case::Lower),
    ("UPPERCASE", Case::Upper),
    ("snake_case", Case::Snake),
    ("kebab-case", Case::Kebab),
    ("camelCase", Case::Camel),
];

impl Case {
    /// Parses the value of `rename_all`.
    pub(crate) fn parse(text: &LitStr) -> Result<Self, String> {
        let known = CASES.into_iter().find(|(name, _)| *name == text.value());
        known.map(|(_, case)| case).ok_or_else(|| {
            let names: Vec<String> = CASES.iter().map(|(name, _)| format!("`\"{name}\"`")).collect();
            format!("unknown style: use one of {}", names.join(", "))
        })
    }

    /// Converts the name of a field or of a variant.
    pub(crate) fn apply(self, name: &str) -> String {
        let words = words(name);
        match self {
            Case::Lower => words.concat(),
            Case::Upper => words.concat().to_uppercase(),
            Case::Snake => words.join("_"),
            Case::Kebab => words.join("-"),
            Case::Camel => {
                let capital = |(index, word): (usize, &String)| match word.chars().next() {
                    Some(first) if index > 0 => {
                        first.to_uppercase().collect::<String>() + &word[first.len_utf8()..]
                    }
                    _ => word.clone(),
                };
                words.iter().enumerate().map(capital).collect()
            }
        }
    }
}

/// Splits `ready_jobs` and `ReadyJobs` into words in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut may_join = false;
    for c in name.chars() {
        match words.last_mut() {
            Some(last) if may_join && !c.is_uppercase() && c != '_' => last.push(c),
            _ if c == '_' => {}
            _ => words.push(c.to_lowercase().collect()),
        }
        may_join = c != '_';
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_style_joins_the_words_of_a_name() {
        let names = |case: Case| [case.apply("ready_jobs"), case.apply("ReadyJobs"), case.apply("_x2")];
        assert_eq!(names(Case::Lower), ["readyjobs", "readyjobs", "x2"]);
        assert_eq!(names(Case::Upper), ["READYJOBS", "READYJOBS", "X2"]);
        assert_eq!(names(Case::Snake), ["ready_jobs", "ready_jobs", "x2"]);
        assert_eq!(names(Case::Kebab), ["ready-jobs", "ready-jobs", "x2"]);
        assert_eq!(names(Case::Camel), ["readyJobs", "readyJobs", "x2"]);
    }
}
