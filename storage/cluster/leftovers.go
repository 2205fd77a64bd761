package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// leftAfter is after how long nobody goes on with what is in the store.
const leftAfter = 10 * time.Minute

// clearLeftovers deletes what is of no use to anybody: snapshots of another epoch, as of a
// daemon that wanted to found the cluster and came second, and parts of snapshots that
// were never finished. The room is that of the log.
func (j *Journal) clearLeftovers(ctx context.Context, store jetstream.ObjectStore) error {
	objects, err := objects(ctx, store)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if epoch := o.Metadata[metaEpoch]; epoch != "" && epoch != j.DB.Place().Epoch && j.Now().Sub(o.ModTime) > leftAfter {
			if err := store.Delete(ctx, o.Name); err != nil {
				return err
			}
		}
	}
	stream, err := j.js.Stream(ctx, j.config.storeStream())
	if err != nil {
		return err
	}
	parts := "$O." + j.config.bucket() + ".C."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(parts+">"))
	if err != nil {
		return err
	}
	for _, subject := range unlisted(info.State.Subjects, parts, objects) {
		last, err := stream.GetLastMsgForSubject(ctx, subject)
		if err == nil && j.Now().Sub(last.Time) > leftAfter {
			err = stream.Purge(ctx, jetstream.WithPurgeSubject(subject))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", subject, err)
		}
	}
	return nil
}

// unlisted gives the subjects of parts that belong to no object.
func unlisted(subjects map[string]uint64, prefix string, objects []*jetstream.ObjectInfo) (left []string) {
	listed := make(map[string]bool, len(objects))
	for _, o := range objects {
		listed[o.NUID] = true
	}
	for subject := range subjects {
		if id, ok := strings.CutPrefix(subject, prefix); ok && !listed[id] {
			left = append(left, subject)
		}
	}
	return left
}
