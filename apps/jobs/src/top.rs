//! `jobs top ADDR`: shows the queues once a second until `q` is pressed.

use std::{
    io,
    time::{Duration, Instant},
};

use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyModifiers},
    layout::{Constraint, Layout},
    style::{Color, Style, Stylize},
    text::Line,
    widgets::{Row, Table},
};
use redis::{Client, Connection, RedisResult};

const INTERVAL: Duration = Duration::from_secs(1);

/// The fields of `QSTAT` to show, and the headings of their columns.
const COLUMNS: [(&str, &str); 6] = [
    ("ready", "ready"),
    ("delayed", "delayed"),
    ("out", "out"),
    ("workers", "workers"),
    ("failed", "failed"),
    ("dead", "dead"),
];

/// Shows the queues of the server at `address` until `q` is pressed.
pub(crate) fn run(address: &str, password: Option<&str>) -> Result<(), Box<dyn std::error::Error>> {
    let url = match address.strip_prefix("unix:") {
        Some(path) => format!("redis+unix://{path}"),
        None => format!("redis://{address}"),
    };
    let mut connection = Client::open(url)?.get_connection_with_timeout(Duration::from_secs(5))?;
    if let Some(password) = password {
        redis::cmd("AUTH").arg(password).exec(&mut connection)?;
    }
    let mut snapshot = Snapshot::take(&mut connection, None)?;
    let mut terminal = ratatui::try_init()?;
    let shown = show(&mut terminal, &mut snapshot, &mut connection, address);
    ratatui::restore();
    shown
}

fn show(
    terminal: &mut DefaultTerminal,
    snapshot: &mut Snapshot,
    connection: &mut Connection,
    address: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    loop {
        terminal.draw(|frame| draw(frame, snapshot, address))?;
        if is_ended(INTERVAL.saturating_sub(snapshot.taken.elapsed()))? {
            return Ok(());
        }
        if snapshot.taken.elapsed() >= INTERVAL {
            *snapshot = Snapshot::take(connection, Some(snapshot))?;
        }
    }
}

/// Waits for a key. Returns whether it ends the program.
fn is_ended(wait: Duration) -> io::Result<bool> {
    if !event::poll(wait)? {
        return Ok(false);
    }
    let Event::Key(key) = event::read()? else { return Ok(false) };
    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    Ok(is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc))
}

/// The queues at one moment.
struct Snapshot {
    taken: Instant,
    queues: Vec<Queue>,
}

struct Queue {
    name: String,
    fields: Vec<(String, i64)>,
    /// Jobs that were added and done per second.
    added: f64,
    done: f64,
}

impl Snapshot {
    fn take(connection: &mut Connection, before: Option<&Snapshot>) -> RedisResult<Self> {
        let taken = Instant::now();
        let mut names: Vec<Vec<u8>> = redis::cmd("QUEUES").query(connection)?;
        // Each thread of the server sorts its own queues.
        names.sort_unstable();
        let mut queues = Vec::new();
        for name in names {
            let fields: RedisResult<Option<Vec<(String, i64)>>> =
                redis::cmd("QSTAT").arg(&name).query(connection);
            let fields = match fields {
                // Another instance has the queue meanwhile.
                Err(error) if matches!(error.code(), Some("MOVED" | "CLUSTERDOWN")) => None,
                fields => fields?,
            };
            // The queue may have been removed meanwhile.
            let Some(fields) = fields else { continue };
            let name = String::from_utf8_lossy(&name).into_owned();
            let mut queue = Queue { name, fields, added: 0.0, done: 0.0 };
            if let Some(before) = before {
                let seconds = (taken - before.taken).as_secs_f64();
                let known = before.queues.iter().find(|known| known.name == queue.name);
                let rate = |field| {
                    let before = known.map_or(0, |known| known.field(field));
                    (queue.field(field) - before).max(0) as f64 / seconds
                };
                (queue.added, queue.done) = (rate("added"), rate("done"));
            }
            queues.push(queue);
        }
        Ok(Snapshot { taken, queues })
    }
}

impl Queue {
    fn field(&self, name: &str) -> i64 {
        self.fields.iter().find(|(known, _)| known == name).map_or(0, |(_, value)| *value)
    }

    fn row(&self) -> Row<'static> {
        let oldest = Duration::from_millis(self.field("oldest-ms").unsigned_abs());
        let mut cells = vec![self.name.clone()];
        cells.extend(COLUMNS.map(|(field, _)| self.field(field).to_string()));
        cells.extend([
            format!("{:.0}", self.added),
            format!("{:.0}", self.done),
            format!("{:.1} s", oldest.as_secs_f64()),
        ]);
        let style = match () {
            () if self.field("paused") != 0 => Style::new().fg(Color::Yellow),
            () if self.name.starts_with("dead:") => Style::new().fg(Color::Red),
            () => Style::new(),
        };
        Row::new(cells).style(style)
    }
}

fn draw(frame: &mut Frame<'_>, snapshot: &Snapshot, address: &str) {
    let [title, table] = Layout::vertical([Constraint::Length(2), Constraint::Min(0)]).areas(frame.area());
    let all = |field| snapshot.queues.iter().map(|queue| queue.field(field)).sum::<i64>();
    let title_line = format!(
        "jobs at {address}: {} queues, {} ready, {} out    q quits",
        snapshot.queues.len(),
        all("ready"),
        all("out")
    );
    frame.render_widget(Line::from(title_line).bold(), title);
    let mut headings = vec!["queue"];
    headings.extend(COLUMNS.map(|(_, heading)| heading));
    headings.extend(["in/s", "done/s", "oldest"]);
    let mut widths = vec![Constraint::Min(16)];
    widths.resize(headings.len(), Constraint::Length(9));
    let rows = snapshot.queues.iter().map(Queue::row);
    frame.render_widget(Table::new(rows, widths).header(Row::new(headings).underlined()), table);
}
