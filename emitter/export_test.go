package emitter

// WriteWaits tells whether somebody is submitting a write just now.
func (e *Emitter) WriteWaits() bool {
	if e.admission.TryLock() {
		e.admission.Unlock()
		return false
	}
	return true
}

// CloseWaits tells whether Close waits for those.
func (e *Emitter) CloseWaits() bool {
	if e.admission.TryRLock() {
		e.admission.RUnlock()
		return false
	}
	return true
}
