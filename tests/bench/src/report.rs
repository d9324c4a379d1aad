//! Renders the figures as Markdown.

use crate::crowd::{OPEN_TURNS, WANTED};
use crate::figure::{Figure, Limit, Pair, median};
use crate::load::{CONNECTIONS, VALUE_BYTES};
use crate::machine;
use crate::options::{Options, Suite};
use crate::program::Program;

pub(crate) fn report(programs: &Pair<Program>, options: &Options, figures: &[Figure]) -> String {
    let mut lines = vec![circumstances(programs), String::new(), method(options), String::new()];
    lines.extend(table(programs, figures));
    lines.push(String::new());
    lines.join("\n")
}

fn circumstances(programs: &Pair<Program>) -> String {
    let Pair { baseline, subject } = programs.map(description);
    let (date, machine) = (machine::date(), machine::description());
    format!("{date}; {machine}; {baseline}, {subject}, {}.", machine::load_generator_version())
}

fn description(program: &Program) -> String {
    match program.is_redis() {
        true => format!("{} (`{}`)", program.version, program.settings),
        false => program.version.clone(),
    }
}

fn method(options: &Options) -> String {
    if options.suite == Suite::Calls {
        return format!(
            "Calls: all connections in one thread, {VALUE_BYTES}-byte jobs and results, a reply and the next request in one \
            write; server and load generator share CPU {}; CPU time is the server's, user and system. {}",
            options.cpus,
            rounds(options),
        );
    }
    let keys = match options.keys {
        Some(keys) => format!("{} random keys (`-r {keys}`)", grouped(keys as f64, 0)),
        None => "one key (no `-r`)".to_owned(),
    };
    let (windows, window) = (options.windows(), options.window().as_millis());
    format!(
        "Commands: redis-benchmark, {CONNECTIONS} connections, {VALUE_BYTES}-byte values, {keys}; server and load \
         generator share CPU {}; CPU time is the server's, user and system. The servers take turns of {window} ms: \
         medians of {windows} turns, in brackets the middle half of their ratios. {}",
        options.cpus,
        connections(options),
    )
}

/// Describes the rounds of calls.
fn rounds(options: &Options) -> String {
    let (rounds, time) = (options.rounds(), options.round_time().as_secs_f64());
    format!(
        "medians of {rounds} alternating rounds of {time} s, in brackets the middle half of their ratios."
    )
}

fn connections(options: &Options) -> String {
    let size = grouped(options.crowd as f64, 0);
    let reason = match options.crowd {
        WANTED => "",
        _ => " (the descriptor limit allows no more)",
    };
    format!(
        "Connections: {size}{reason}; half of them are opened at each server, in {OPEN_TURNS} turns; memory, read once, is \
        the growth of the server's resident memory."
    )
}

fn table(programs: &Pair<Program>, figures: &[Figure]) -> Vec<String> {
    let Pair { baseline, subject } = programs.map(|program| program.label.as_str());
    let headings = format!("| | {baseline} | {subject} | ratio | target |");
    let rows = figures.iter().map(|figure| row(figure, programs.baseline.is_foreign()));
    [headings, "| --- | ---: | ---: | ---: | --- |".to_owned()].into_iter().chain(rows).collect()
}

fn row(figure: &Figure, against_foreign: bool) -> String {
    let Pair { baseline, subject } = figure.medians().map(|&value| grouped(value, figure.decimals));
    let (name, ratio, target) = (&figure.name, ratio(figure), target(figure, against_foreign));
    format!("| {name} | {baseline} | {subject} | {ratio} | {target} |")
}

fn ratio(figure: &Figure) -> String {
    let ratios = figure.ratios();
    let middle = median(ratios.clone());
    let outside = ratios.len() / 4;
    match &ratios[outside..ratios.len() - outside] {
        [lowest, .., highest] => format!("{middle:.3} ({lowest:.2}–{highest:.2})"),
        _ => format!("{middle:.3}"),
    }
}

/// Returns the target and whether the figure meets it.
///
/// Ratio targets do not apply if the baseline is also a build of this workspace.
fn target(figure: &Figure, against_foreign: bool) -> String {
    let (unit, applies) = match figure.target {
        Some(Limit::Ratio(_)) => ("x", against_foreign),
        Some(Limit::OwnRatio(_)) => ("x", true),
        _ => ("", true),
    };
    match figure.verdict().filter(|_| applies) {
        Some((limit, true)) => format!("≤ {limit:.2}{unit}: met"),
        Some((limit, false)) => format!("≤ {limit:.2}{unit}: **missed**"),
        None => String::new(),
    }
}

/// Formats a number with thousands separators.
fn grouped(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (index, digit) in whole.char_indices() {
        let remaining = whole.len() - index;
        if index > 0 && remaining % 3 == 0 && !out.ends_with('-') {
            out.push(',');
        }
        out.push(digit);
    }
    out + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_have_separators() {
        let texts = [grouped(7.0, 0), grouped(1234.5, 2), grouped(123456.0, 0), grouped(-123456.0, 0)];
        assert_eq!(texts, ["7", "1,234.50", "123,456", "-123,456"]);
    }

    #[test]
    fn a_target_is_met_missed_or_does_not_apply() {
        const ROUND: Pair<f64> = Pair { baseline: 100.0, subject: 50.0 };
        let figure = |target| Figure { name: String::new(), rounds: vec![ROUND], decimals: 0, target };
        assert_eq!(target(&figure(Some(Limit::Ratio(0.5))), true), "≤ 0.50x: met");
        assert_eq!(target(&figure(Some(Limit::Ratio(0.4))), true), "≤ 0.40x: **missed**");
        assert_eq!(target(&figure(Some(Limit::Ratio(0.4))), false), "");
        assert_eq!(target(&figure(None), true), "");
    }
}
