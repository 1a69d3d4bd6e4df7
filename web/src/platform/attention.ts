/** The tab's title and icon, a sound, and the system's notifications. */

import type { Attention, Permit } from "../domain/alerts.ts";

/** The whole of what a lock screen may show: neither who wrote nor what. */
export interface NotificationWords {
  readonly title: string;
  readonly body: string;
}

export function browserAttention(title: string, words: NotificationWords): Attention {
  let shown: Notification | null = null;
  let audio: AudioContext | null = null;
  const wake = async (): Promise<void> => {
    // A browser without a way to sound refuses; then there is none.
    await audio?.resume().catch(() => undefined);
  };

  const attention: Attention = {
    isAway: () => document.visibilityState !== "visible" || !document.hasFocus(),
    mark(count) {
      document.title = count === 0 ? title : `(${count > 99 ? "99+" : count}) ${title}`;
      const link = document.querySelector<HTMLLinkElement>("link[data-unread]");
      if (link !== null) {
        link.dataset["read"] ??= link.href;
        link.href = (count === 0 ? link.dataset["read"] : link.dataset["unread"]) ?? link.href;
      }
      // Only an installed page has it, and not in every browser.
      const badge: Partial<Pick<Navigator, "setAppBadge">> = navigator;
      void badge.setAppBadge?.call(navigator, count).catch(() => undefined);
    },
    tune() {
      if (audio === null) {
        audio = new AudioContext();
        // After a reload, the first tap or key lets it sound again.
        for (const gesture of ["pointerdown", "keydown"]) addEventListener(gesture, () => void wake(), { once: true });
      }
      return wake();
    },
    chime() {
      // One that nobody has allowed yet would sound minutes later.
      if (audio?.state === "running") play(audio);
      // A telephone call takes it away.
      else void wake();
    },
    async permit() {
      if (!canNotify()) return "unable";
      return read(await Notification.requestPermission());
    },
    mayNotify: () => "Notification" in window && Notification.permission === "granted",
    notify(silent) {
      if (!attention.mayNotify()) return;
      try {
        shown?.close();
        shown = new Notification(words.title, { body: words.body, tag: "vestibule", silent });
        shown.onclick = () => {
          window.focus();
          attention.calm();
        };
      } catch {
        // Chrome on Android has notifications for service workers only.
      }
    },
    calm() {
      shown?.close();
      shown = null;
    },
  };
  return attention;
}

/** Asked before the guest is: a question whose answer could serve nothing is none. Without a permission nothing is shown. */
function canNotify(): boolean {
  if (!("Notification" in window)) return false;
  if (Notification.permission !== "default") return true;
  try {
    new Notification("").close();
    return true;
  } catch {
    return false;
  }
}

function read(permission: NotificationPermission): Permit {
  return permission === "granted" ? "granted" : "denied";
}

/** Two soft tones, made here: a file would have to be loaded. */
function play(audio: AudioContext): void {
  for (const [index, frequency] of [659.25, 880].entries()) {
    const start = audio.currentTime + index * 0.12;
    const gain = audio.createGain();
    gain.gain.setValueAtTime(0.0001, start);
    gain.gain.exponentialRampToValueAtTime(0.12, start + 0.02);
    gain.gain.exponentialRampToValueAtTime(0.0001, start + 0.35);
    const tone = audio.createOscillator();
    tone.frequency.value = frequency;
    tone.connect(gain).connect(audio.destination);
    tone.start(start);
    tone.stop(start + 0.36);
  }
}
