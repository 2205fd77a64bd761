package main

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/descartes-tasks/descartes/schema"
)

// silentAfter is for how long a daemon need not be heard of: it greets the others every
// 2 s.
const silentAfter = 10 * time.Second

// clusterView is what a daemon knows of its cluster, as it is shown.
type clusterView struct {
	schema.ClusterStats
	display display
	now     time.Time // by the clock of who was asked, which the other times are of
	newest  int64     // the last message that anybody knows of
}

func newClusterView(s display, stats schema.ClusterStats) *clusterView {
	v := &clusterView{ClusterStats: stats, display: s, now: time.Now(), newest: stats.Newest}
	for _, d := range stats.Daemons {
		if d.Name == stats.Daemon {
			v.now = time.UnixMilli(d.HeardAt)
		}
		v.newest = max(v.newest, d.Position)
	}
	return v
}

// print prints for people some lines and two tables; in a pipe a line for each thing,
// which begins with what it is about.
func (v *clusterView) print(w io.Writer) error {
	daemons := newTable(w, v.display, "DAEMON", "VERSION", "MESSAGE", "BEHIND", "HEARD", "STATE")
	daemons.spare = []int{1, 4} // VERSION, HEARD
	for _, d := range v.Daemons {
		daemons.add(v.row("daemon", v.daemon(&d)...)...)
	}
	servers := newTable(w, v.display, "SERVER", "ROLE", "BEHIND", "STATE")
	if v.Stream != nil {
		for _, s := range v.Stream.Servers {
			servers.add(v.row("server", v.server(&s)...)...)
		}
	}
	facts := v.facts()
	if v.display.people {
		facts = v.sentences()
	}
	for _, fact := range facts {
		if _, err := io.WriteString(w, fact+"\n"); err != nil {
			return err
		}
	}
	for _, t := range []*table{daemons, servers} {
		if v.display.people && len(t.rows) > 0 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return nil
}

// row gives the cells of a row, in a pipe after what it is about.
func (v *clusterView) row(about string, cells ...cell) []cell {
	if v.display.people {
		return cells
	}
	return append([]cell{{about, plain}}, cells...)
}

// daemon gives the cells of a daemon.
func (v *clusterView) daemon(d *schema.ClusterDaemon) []cell {
	heard := timeOf(d.HeardAt)
	if v.display.people {
		heard = v.ago(d.HeardAt)
	}
	state := v.state(d)
	if v.display.people && d.Name == v.Daemon {
		state.text += ", asked"
	}
	return []cell{
		{d.Name, bold}, {d.Version, plain}, {fmt.Sprint(d.Position), plain}, behind(v.newest - d.Position), {heard, faint}, state,
	}
}

// state tells in a word how a daemon is.
func (v *clusterView) state(d *schema.ClusterDaemon) cell {
	switch {
	case d.Name == v.Daemon && !v.Connected:
		return cell{"disconnected", red}
	case v.now.Sub(time.UnixMilli(d.HeardAt)) > silentAfter:
		return cell{"silent", red}
	case !d.Current:
		return cell{"behind", yellow}
	}
	return cell{"current", green}
}

// server gives the cells of a server of the stream.
func (v *clusterView) server(s *schema.StreamServer) []cell {
	role, state := cell{"follower", plain}, cell{"current", green}
	if s.Name == v.Stream.Leader {
		role = cell{"leader", plain}
	}
	switch {
	case s.Offline:
		state = cell{"offline", red}
	case !s.Current:
		state = cell{"behind", yellow}
	}
	return []cell{{s.Name, bold}, role, behind(s.Lag), state}
}

// behind tells for how many messages somebody is behind.
func behind(messages int64) cell {
	if messages <= 0 {
		return cell{"0", faint}
	}
	return cell{fmt.Sprint(messages), yellow}
}

// facts are the lines about cluster, stream and snapshot in a pipe.
func (v *clusterView) facts() []string {
	lines := []string{fmt.Sprintf("cluster\t%s\t%s\t%d\t%d\t%d", v.Name, v.Daemon, v.Position, v.newest, v.Unknown)}
	if s := v.Stream; s != nil {
		lines = append(lines, fmt.Sprintf("stream\t%s\t%d\t%d\t%d\t%d", oneLine(s.Leader), s.Messages, s.Bytes, s.First, s.Last))
	}
	if s := v.Snapshot; s != nil {
		lines = append(lines, fmt.Sprintf("snapshot\t%d\t%s\t%d", s.Position, timeOf(s.At), s.Bytes))
	}
	return lines
}

// sentences are the same for people.
func (v *clusterView) sentences() []string {
	about := [][2]string{{"cluster", v.Name}, {"stream", "cannot be asked: no majority of its servers is there, or this daemon reaches none"}, {"snapshot", "none yet"}}
	if s := v.Stream; s != nil {
		about[1][1] = fmt.Sprintf("%s, %s", count(s.Messages, "message"), sizeOf(s.Bytes))
		if s.Messages > 0 {
			about[1][1] += fmt.Sprintf(", %d to %d", s.First, s.Last)
		}
		if s.Leader == "" && len(s.Servers) > 0 {
			about[1][1] += "; no server leads it now: nothing can be written"
		}
	}
	if s := v.Snapshot; s != nil {
		about[2][1] = fmt.Sprintf("at message %d, %s, %s", s.Position, v.ago(s.At), sizeOf(s.Bytes))
	}
	if v.Unknown > 0 {
		about = append(about, [2]string{"unknown", count(v.Unknown, "write") + " answered -32012 since " + v.Daemon + " was started"})
	}
	lines := make([]string, len(about))
	for i, a := range about {
		lines[i] = v.display.painted(faint, fmt.Sprintf("%-10s", a[0])) + oneLine(a[1])
	}
	return lines
}

// ago tells how long a moment is past, in seconds below a minute.
func (v *clusterView) ago(at int64) string {
	if past := v.now.Sub(time.UnixMilli(at)); past >= time.Second && past < time.Minute {
		return fmt.Sprintf("%d s ago", past/time.Second)
	}
	return ago(v.now, at)
}

// sizeOf tells how many bytes there are, in the largest unit that fits.
func sizeOf(bytes int64) string {
	const units = "KMGT"
	size, unit := float64(bytes), -1
	for size >= 1000 && unit < len(units)-1 {
		size, unit = size/1000, unit+1
	}
	if unit < 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return strconv.FormatFloat(size, 'f', 1, 64) + " " + units[unit:unit+1] + "B"
}
