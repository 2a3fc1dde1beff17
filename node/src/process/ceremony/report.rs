//! How far a ceremony is, in the same words everywhere: terminal, `--json`, the file
//! `ceremony.json`, `GET /ceremony`, metrics and `/readyz`.

use std::{
    fmt::{self, Write as _},
    path::Path,
    time::Duration,
};

use fairveil_crypto::{ConsensusPublicKey, Digest, NetworkId, SequencerIndex};
use fairveil_keygen::{
    CeremonyContext, Definition, Party, Phase, Status, definition::short_digest,
};
use serde::{Deserialize, Serialize};

use super::super::{NodeError, files};

/// Name of the report in the data folder.
pub(crate) const FILE: &str = "ceremony.json";

/// Where a ceremony stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Members have not approved the definition yet.
    Proposed,
    /// All members have approved; the ceremony has not begun here.
    Approved,
    /// Waiting for dealings.
    Dealing,
    /// Dealings are checked, logged and confirmed.
    Verifying,
    /// There is a key, and this member has its share.
    Complete,
    /// No key: somebody cheated, and is named.
    Failed,
    /// No key: somebody was missing, and is named.
    Expired,
}

impl State {
    pub(crate) const ALL: [Self; 7] = [
        Self::Proposed,
        Self::Approved,
        Self::Dealing,
        Self::Verifying,
        Self::Complete,
        Self::Failed,
        Self::Expired,
    ];

    /// The word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Approved => "approved",
            Self::Dealing => "dealing",
            Self::Verifying => "verifying",
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How far a ceremony is, as one member sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// The network.
    pub(crate) network_id: NetworkId,
    /// The definition whose key is made.
    pub(crate) definition: Digest,
    /// The epoch of the committee that gets the key.
    pub(crate) epoch: u64,
    /// The attempt, from 0.
    pub(crate) round: u64,
    /// Who reports.
    pub(crate) member: String,
    /// Where the ceremony stands.
    pub(crate) state: State,
    /// The step in detail: dealing, acknowledging, logging, confirming.
    pub(crate) step: String,
    /// Whom the step waits for, or who was missing.
    pub(crate) missing: Vec<String>,
    /// Members that this one is not connected to.
    pub(crate) unreachable: Vec<String>,
    /// Until this member votes to end the step.
    pub(crate) time_left_ms: Option<u64>,
    /// Whether nobody waits for this member. Stopping never loses anything.
    pub(crate) safe_to_stop: bool,
    /// Why there is no key, or who is to blame, in sentences.
    pub(crate) faults: Vec<String>,
    /// The transcript's digest, once there is one.
    pub(crate) transcript: Option<Digest>,
}

impl Report {
    /// What a machine's status says, at a member that reaches the `connected` ones, by position.
    pub(crate) fn of(
        context: &CeremonyContext,
        own: &ConsensusPublicKey,
        status: &Status,
        connected: &[bool],
    ) -> Self {
        let definition = context.definition();
        let state = match status.phase {
            Phase::Dealing => State::Dealing,
            Phase::Complete => State::Complete,
            Phase::Failed if status.blames.is_empty() => State::Expired,
            Phase::Failed => State::Failed,
            Phase::Acknowledging | Phase::Logging | Phase::Confirming => State::Verifying,
        };
        let milliseconds = |left: Duration| u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        Self {
            step: step(status.phase).to_owned(),
            missing: party_names(&status.missing),
            unreachable: names(definition, &away(definition, connected)),
            time_left_ms: status.time_left.map(milliseconds),
            safe_to_stop: state == State::Complete
                || status.missing.iter().all(|party| party.consensus != *own),
            faults: status.blames.iter().map(|blame| blame.sentence(context)).collect(),
            ..Self::before(definition, context.round(), own_name(context, own), state)
        }
    }

    /// Before the ceremony has begun.
    pub(crate) fn before(
        definition: &Definition,
        round: u64,
        member: String,
        state: State,
    ) -> Self {
        Self {
            network_id: definition.network_id(),
            definition: definition.digest(),
            epoch: definition.epoch().get(),
            round,
            member,
            state,
            step: state.word().to_owned(),
            missing: Vec::new(),
            unreachable: Vec::new(),
            time_left_ms: None,
            safe_to_stop: true,
            faults: Vec::new(),
            transcript: None,
        }
    }

    /// The report of a data folder, if there is one.
    pub(crate) fn read(data: &Path) -> Result<Option<Self>, NodeError> {
        let path = data.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = files::read("ceremony", &path)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| NodeError::Unusable {
            what: "ceremony",
            path,
            why: error.to_string(),
        })
    }

    /// Writes it into a data folder.
    pub(crate) fn write(&self, data: &Path) -> std::io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self).map_err(std::io::Error::other)?;
        text.push(b'\n');
        files::write_public(&data.join(FILE), &text)
    }

    /// Whether something else than the time left has changed.
    pub(crate) fn is_news_after(&self, before: &Self) -> bool {
        Self { time_left_ms: None, ..self.clone() } != Self { time_left_ms: None, ..before.clone() }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{:13} ", self.step);
        let people = self.missing.join(", ");
        match self.state {
            State::Complete => {
                line.push_str("every member's share is safe");
                if !self.missing.is_empty() {
                    line = format!("{:13} not confirmed by {people}", self.step);
                }
            }
            State::Failed | State::Expired if people.is_empty() => line.push_str("no key was made"),
            State::Failed | State::Expired => {
                let _ = write!(line, "no key was made; missing: {people}");
            }
            State::Approved => line.push_str("all members have approved; nothing has begun here"),
            State::Proposed => {
                let _ = write!(line, "not approved by {people}");
            }
            State::Dealing | State::Verifying if people.is_empty() => {
                line.push_str("waiting for nobody");
            }
            State::Dealing | State::Verifying => {
                let _ = write!(line, "waiting for {people}");
            }
        }
        if let Some(left) = self.time_left_ms {
            let _ = write!(line, "; {} left", duration(left));
        }
        if !self.unreachable.is_empty() {
            let _ = write!(line, "; not connected: {}", self.unreachable.join(", "));
        }
        if matches!(self.state, State::Dealing | State::Verifying) {
            let safe = if self.safe_to_stop { "yes" } else { "the others wait for this member" };
            let _ = write!(line, "; safe to stop: {safe}");
        }
        for fault in &self.faults {
            let _ = write!(line, "\n              {fault}");
        }
        line
    }

    /// The whole report for people.
    pub(crate) fn text(&self) -> String {
        let digest = &self.definition;
        format!(
            "network       {}\ndefinition    {digest} ({})\nepoch {}, round {}, as {} sees it\n{}",
            self.network_id,
            short_digest(digest),
            self.epoch,
            self.round,
            self.member,
            self.line()
        )
    }

    /// The metrics of a ceremony.
    pub(crate) fn metrics(&self) -> String {
        let mut text = String::from(
            "# HELP fairveil_ceremony_state where the newest key ceremony stands: 1 for its state\n\
             # TYPE fairveil_ceremony_state gauge\n",
        );
        let (epoch, round) = (self.epoch, self.round);
        for state in State::ALL {
            let is = u8::from(state == self.state);
            let _ = writeln!(
                text,
                "fairveil_ceremony_state{{epoch=\"{epoch}\",round=\"{round}\",state=\"{state}\"}} {is}"
            );
        }
        let gauges = [
            ("missing", "members that the ceremony's step waits for", self.missing.len() as u64),
            (
                "time_left_milliseconds",
                "until this member votes to end the step; 0 if no step is under way",
                self.time_left_ms.unwrap_or(0),
            ),
        ];
        for (name, help, value) in gauges {
            let _ = writeln!(
                text,
                "# HELP fairveil_ceremony_{name} {help}\n# TYPE fairveil_ceremony_{name} gauge\n\
                 fairveil_ceremony_{name} {value}"
            );
        }
        text
    }

    /// The verdict of `/readyz`: whether there is a key for the newest epoch that is on its way. If its
    /// resharing made none, the committee stays, and nothing is on its way.
    pub(crate) fn check(&self) -> fairveil_sequencer::Check {
        let over = matches!(self.state, State::Failed | State::Expired);
        fairveil_sequencer::Check {
            name: "key",
            passed: self.state == State::Complete || over && self.epoch > 1,
            why: format!("epoch {}, round {}: {}", self.epoch, self.round, self.line()),
        }
    }
}

/// The name of who reports: of a member of either committee.
fn own_name(context: &CeremonyContext, own: &ConsensusPublicKey) -> String {
    let mut committees = [context.definition(), context.dealing_definition()].into_iter();
    let member = committees.find_map(|committee| committee.member(committee.index_of(own)?));
    member.map_or_else(|| own.to_string(), |member| member.name.clone())
}

/// A step's word.
pub(super) const fn step(phase: Phase) -> &'static str {
    match phase {
        Phase::Dealing => "dealing",
        Phase::Acknowledging => "acknowledging",
        Phase::Logging => "logging",
        Phase::Confirming => "confirming",
        Phase::Complete => "complete",
        Phase::Failed => "failed",
    }
}

/// The names of those who take part, in alphabetical order.
pub(super) fn party_names(parties: &[Party]) -> Vec<String> {
    let mut names: Vec<String> = parties.iter().map(|party| party.name.clone()).collect();
    names.sort();
    names
}

/// The names of these members, in alphabetical order.
pub(super) fn names(definition: &Definition, indices: &[SequencerIndex]) -> Vec<String> {
    let mut names: Vec<String> = indices.iter().map(|index| name(definition, *index)).collect();
    names.sort();
    names
}

/// The members that are not among the connected ones.
pub(super) fn away(definition: &Definition, connected: &[bool]) -> Vec<SequencerIndex> {
    let up = |index: &SequencerIndex| connected.get(index.position()).copied().unwrap_or(false);
    SequencerIndex::all(definition.n()).filter(|index| !up(index)).collect()
}

fn name(definition: &Definition, index: SequencerIndex) -> String {
    definition.member(index).map_or_else(|| format!("member {index}"), |one| one.name.clone())
}

/// Milliseconds as people say it.
fn duration(milliseconds: u64) -> String {
    match milliseconds / 1_000 {
        0 => format!("{milliseconds} ms"),
        seconds @ 1..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(state: State, missing: &[&str]) -> Report {
        Report {
            network_id: NetworkId::from_bytes([1; 32]),
            definition: Digest::from_bytes([1; 32]),
            epoch: 1,
            round: 0,
            member: "acme".into(),
            state,
            step: state.word().into(),
            missing: missing.iter().map(ToString::to_string).collect(),
            unreachable: Vec::new(),
            time_left_ms: None,
            safe_to_stop: true,
            faults: Vec::new(),
            transcript: None,
        }
    }

    #[test]
    fn a_line_says_who_is_missing_how_long_is_left_and_whether_to_stop() {
        let mut dealing = report(State::Dealing, &["delta", "echo"]);
        dealing.time_left_ms = Some(3_540_000);
        assert_eq!(
            dealing.line(),
            "dealing       waiting for delta, echo; 59 min left; safe to stop: yes"
        );
        dealing.unreachable.push("echo".into());
        assert_eq!(
            dealing.line(),
            "dealing       waiting for delta, echo; 59 min left; not connected: echo; safe to stop: yes"
        );
        dealing.safe_to_stop = false;
        assert!(dealing.line().ends_with("safe to stop: the others wait for this member"));
        let mut expired = report(State::Expired, &["delta"]);
        assert_eq!(expired.line(), "expired       no key was made; missing: delta");
        expired.faults.push("delta dealt nothing".into());
        assert!(expired.line().ends_with("\n              delta dealt nothing"));
    }

    #[test]
    fn exactly_one_state_is_one_in_the_metrics() {
        for state in State::ALL {
            let text = report(state, &["delta"]).metrics();
            let ones: Vec<&str> = text.lines().filter(|line| line.ends_with("} 1")).collect();
            assert_eq!(ones.len(), 1);
            assert!(ones[0].contains(&format!("state=\"{state}\"")));
            assert!(text.contains("fairveil_ceremony_missing 1\n"));
        }
    }

    #[test]
    fn the_file_is_read_as_it_was_written_and_only_a_complete_ceremony_passes() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Report::read(folder.path()).unwrap(), None);
        let written = report(State::Verifying, &["echo"]);
        written.write(folder.path()).unwrap();
        assert_eq!(Report::read(folder.path()).unwrap(), Some(written.clone()));
        assert!(!written.check().passed);
        let failed = report(State::Failed, &[]);
        assert!(!failed.check().passed);
        assert!(Report { epoch: 2, ..failed }.check().passed, "the committee before stays");
        assert!(report(State::Complete, &[]).check().passed);
    }

    #[test]
    fn durations_are_said_as_people_say_them() {
        for (milliseconds, said) in [
            (30, "30 ms"),
            (1_999, "1 s"),
            (119_000, "119 s"),
            (120_000, "2 min"),
            (8_000_000, "2 h"),
        ] {
            assert_eq!(duration(milliseconds), said);
        }
    }
}
