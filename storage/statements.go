package storage

import "database/sql"

// taskColumns are the columns of tasks that change, in the order of appendTask.
const taskColumns = `title, description, status, priority, complexity, assigned_to, dependencies, metadata,
	updated_at, version, ready, leased_by, document`

// claimRank is the first column of the index tasks_ready: 0 for the highest priority.
const claimRank = `CASE priority WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END`

// claimOrder is that of the index tasks_ready: highest priority first, then oldest.
const claimOrder = claimRank + `, created_at, num`

// statements are those of the writer's connection.
type statements struct {
	dataVersion, lastSeq                                               *sql.Stmt
	document, presentOrAwaited, statusOf                               *sql.Stmt
	deleteTask                                                         *sql.Stmt
	insertEdge, deleteEdges, dependenciesOf, dependentsOf, blocked     *sql.Stmt
	waitFor, othersOpen, countOpen                                     *sql.Stmt
	endTransaction                                                     *sql.Stmt
	savepoint, releaseSavepoint, rollbackSavepoint                     *sql.Stmt
	prune, oldest                                                      *sql.Stmt
	unindexed, present, searchNum, addSearch, removeSearch, removeTask *sql.Stmt
	index, setIndexed, candidates                                      *sql.Stmt
	nextReady, leaseOf, setLease, dropLease                            *sql.Stmt
	movePlace                                                          *sql.Stmt

	beginNow, commitNow, start, end     *rawStatement
	insertTask, updateTask, insertEvent *rawStatement
}

func (s *statements) table() []statement {
	return []statement{
		{&s.dataVersion, `PRAGMA data_version`},
		{&s.lastSeq, `SELECT last_seq FROM journal_state`},
		{&s.savepoint, `SAVEPOINT change`},
		{&s.releaseSavepoint, `RELEASE change`},
		{&s.rollbackSavepoint, `ROLLBACK TO change`},

		{&s.document, `SELECT document FROM tasks WHERE id = ?`},
		{&s.presentOrAwaited, `SELECT (SELECT document FROM tasks WHERE id = ?1),
			EXISTS (SELECT 1 FROM dependencies WHERE dependency = ?1)`},
		{&s.statusOf, `SELECT status FROM tasks WHERE id = ?`},
		{&s.deleteTask, `DELETE FROM tasks WHERE id = ?`},

		{&s.insertEdge, `INSERT INTO dependencies (task, dependency) VALUES (?, ?)`},
		{&s.deleteEdges, `DELETE FROM dependencies WHERE task = ?`},
		{&s.dependenciesOf, `SELECT dependency FROM dependencies WHERE task = ? ORDER BY dependency`},
		{&s.dependentsOf, `SELECT task FROM dependencies WHERE dependency = ? ORDER BY task LIMIT 100`},
		{&s.blocked, `SELECT EXISTS (SELECT 1 FROM dependencies AS edge JOIN tasks AS other ON other.id = edge.dependency
			WHERE edge.task = ? AND other.status <> 'done')`},
		{&s.waitFor, `SELECT task FROM dependencies WHERE dependency = ? ORDER BY task`},
		{&s.othersOpen, `SELECT EXISTS (SELECT 1 FROM dependencies AS edge JOIN tasks AS other ON other.id = edge.dependency
			WHERE edge.task = ? AND edge.dependency <> ? AND other.status <> 'done')`},
		{&s.countOpen, `SELECT count(*) FROM dependencies AS edge JOIN tasks AS other ON other.id = edge.dependency
			WHERE edge.task = ? AND other.status <> 'done'`},

		{&s.endTransaction, `UPDATE journal SET tx_last = ?1 WHERE seq > ?2 AND seq <= ?1`},

		{&s.oldest, `SELECT coalesce((SELECT seq FROM journal ORDER BY seq LIMIT 1), 0),
			coalesce((SELECT timestamp FROM journal ORDER BY seq LIMIT 1), 0), last_seq, indexed FROM journal_state`},
		// From the oldest on as far as all are too many or too old: one with a time of
		// long ago, made while the clock was wrong, does not take those before it along.
		{&s.prune, `DELETE FROM journal WHERE seq < (SELECT
			coalesce(min(seq) FILTER (WHERE seq > ?1 AND (timestamp >= ?2 OR seq > ?4)), max(seq) + 1)
			FROM (SELECT seq, timestamp FROM journal ORDER BY seq LIMIT ?3))`},

		{&s.unindexed, `SELECT seq, task_id FROM journal WHERE seq > (SELECT indexed FROM journal_state) ORDER BY seq LIMIT ?`},
		{&s.present, `SELECT title, description FROM tasks WHERE id = ?`},
		{&s.searchNum, `SELECT num FROM search_tasks WHERE task_id = ?`},
		{&s.addSearch, `INSERT INTO search_tasks (task_id) VALUES (?)`},
		{&s.removeTask, `DELETE FROM search_tasks WHERE num = ?`},
		{&s.removeSearch, `DELETE FROM search WHERE rowid = ?`},
		{&s.index, `INSERT INTO search (rowid, words) VALUES (?, ?)`},
		{&s.setIndexed, `UPDATE journal_state SET indexed = ?`},
		{&s.candidates, selectCandidates},

		{&s.nextReady, `SELECT document FROM tasks WHERE ready = 1 ORDER BY ` + claimOrder + ` LIMIT 1`},
		{&s.leaseOf, `SELECT ` + leaseColumns + ` FROM leases WHERE task_id = ?`},
		{&s.setLease, `INSERT OR REPLACE INTO leases (task_id, token, seq, length, expires_at, source) VALUES (?, ?, ?, ?, ?, ?)`},
		{&s.dropLease, `DELETE FROM leases WHERE task_id = ?`},

		{&s.movePlace, `UPDATE cluster SET position = ?, at = ?, chain = ? WHERE position = ?`},
	}
}

// commitTable is that of the statements that need no table: a new file is made with them.
func (s *statements) commitTable() []rawText {
	return []rawText{{&s.beginNow, `BEGIN IMMEDIATE`}, {&s.commitNow, `COMMIT`}}
}

// rawTable is that of the other statements past database/sql.
func (s *statements) rawTable() []rawText {
	return []rawText{
		{&s.start, `UPDATE journal_state SET writer = 1`},
		{&s.end, `UPDATE journal_state SET writer = 0, last_seq = ?`},
		{&s.insertTask, `INSERT INTO tasks (` + taskColumns + `, id, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&s.updateTask, `UPDATE tasks SET (` + taskColumns + `) = (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) WHERE id = ?`},
		{&s.insertEvent, `INSERT INTO journal (` + eventColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
	}
}
