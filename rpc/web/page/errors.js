// The errors of client.js.

/** An error that the daemon answered. `code` and `reason` are those of the protocol. */
export class RpcError extends Error {
  constructor({ code, message, data }) {
    super(message);
    this.name = "RpcError";
    this.code = code;
    this.data = data ?? {};
    this.reason = this.data.reason;
  }
}

/** The connection was not there, or was lost before the answer: then nobody here knows
 *  whether a write was made, and `sent` is true. */
export class ConnectionError extends Error {
  constructor(message, sent) {
    super(message);
    this.name = "ConnectionError";
    this.sent = sent;
  }
}
