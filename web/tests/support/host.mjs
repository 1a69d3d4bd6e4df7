// A host with the same crypto machine as the page's, run by Node. `Machine` is the class of the
// WebAssembly, loaded by whoever uses this.

export class Host {
  constructor(Machine, userId, ghost, room, device = "HOSTDEVICE") {
    this.userId = userId;
    this.ghost = ghost;
    this.room = room;
    this.device = device;
    this.machine = Machine.create(userId, device, ghost, Date.now());
    while (this.machine.makeKeys(50));
    this.keys = JSON.parse(this.machine.publicKeys());
    this.machine.markPublished();
    this.guest = null;
  }

  /** The `/keys/query` answer for the host. */
  query() {
    return query(this.userId, this.device, this.keys);
  }

  /** The `/keys/claim` answer for the host's device. */
  claim() {
    return claim(this.userId, this.device, this.keys.one_time_keys);
  }

  /** `claimed` gives a `/keys/claim` answer for the guest's device. */
  meets(device, keys, claimed = () => claim(this.ghost, device, keys.one_time_keys)) {
    this.guest = { device, keys, claimed };
    this.machine.receiveKeys(JSON.stringify(query(this.ghost, device, keys)), Date.now());
  }

  /** The guest's text, or what became of it. */
  reads(content, eventId) {
    const event = { type: "m.room.encrypted", event_id: eventId, sender: this.ghost, origin_server_ts: Date.now(), content };
    const [item] = JSON.parse(this.machine.receiveEvent(this.room, JSON.stringify(event), Date.now()));
    return item?.kind === "text" ? item.body : `(${item?.kind})`;
  }

  takesKey(content) {
    const event = { type: "m.room.encrypted", sender: this.ghost, content };
    this.machine.receiveToDevice(JSON.stringify(event), Date.now());
  }

  /** Gives `{toDevice: content[], content}`. */
  writes(text) {
    const { device, keys, claimed } = this.guest;
    const toDevice = [];
    for (;;) {
      const need = JSON.parse(this.machine.prepare(this.room, Date.now()));
      if (need.kind === "ready") break;
      else if (need.kind === "keys_query") this.meets(device, keys, claimed);
      else if (need.kind === "keys_claim") this.machine.receiveClaim(JSON.stringify(claimed()), Date.now());
      else if (need.kind === "to_device") {
        if (need.event_type === "m.room.encrypted") toDevice.push(need.messages[device]);
        this.machine.toDeviceStored(need.id);
      } else throw new Error(JSON.stringify(need));
    }
    return { toDevice, content: JSON.parse(this.machine.encrypt(this.room, JSON.stringify({ kind: "text", body: text }), Date.now())) };
  }
}

function query(user, device, keys) {
  return {
    device_keys: { [user]: { [device]: keys.device_keys } },
    master_keys: { [user]: keys.master_key },
    self_signing_keys: { [user]: keys.self_signing_key },
    failures: {},
  };
}

function claim(user, device, oneTimeKeys) {
  const [[id, key]] = Object.entries(oneTimeKeys);
  delete oneTimeKeys[id];
  return { one_time_keys: { [user]: { [device]: { [id]: key } } }, failures: {} };
}
