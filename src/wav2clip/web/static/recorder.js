// Recording from the microphone into a file to search with.

import { byId, clock, colour, prepare } from "./dom.js";

const LONGEST = 30; // seconds; a sound to search with is short

const PROBLEMS = {
  NotAllowedError: ["The browser does not let this page use the microphone", "Allow the microphone for this page beside the address, and record again."],
  NotFoundError: ["There is no microphone", "Connect one and record again, or drop a recording instead."],
  NotReadableError: ["Another program holds the microphone", "Close that program and record again."],
};

function problem(error) {
  const [what, action] = PROBLEMS[error.name] ?? [`Recording failed: ${error.message}`, "Drop a recording instead."];
  return Object.assign(new Error(what), { what, action });
}

/** Record until it is stopped, at most `LONGEST` seconds. Resolves with a file, or null if it was given up. */
export async function record() {
  if (!navigator.mediaDevices) {
    throw Object.assign(new Error("no microphone here"), {
      what: "Browsers give the microphone to https and to localhost alone",
      action: "Open this page on the machine it runs on, or put it behind https. Dropping a recording works everywhere.",
    });
  }
  const stream = await navigator.mediaDevices
    .getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } })
    .catch((error) => {
      throw problem(error);
    });
  const context = new AudioContext();
  try {
    return await capture(stream, context);
  } finally {
    for (const track of stream.getTracks()) track.stop();
    context.close();
  }
}

function capture(stream, context) {
  const dialog = byId("recorder");
  const recorder = new MediaRecorder(stream);
  const pieces = [];
  let kept = false;
  const begun = performance.now();
  const seconds = () => (performance.now() - begun) / 1000;
  const meter = levelMeter(stream, context, () => {
    byId("recorder-state").textContent = `Listening. At most ${LONGEST} s.`;
    dialog.querySelector("h2").dataset.time = clock(seconds());
    if (seconds() > LONGEST) stop(true);
  });
  const stop = (keep) => {
    kept ||= keep;
    if (recorder.state !== "inactive") recorder.stop();
  };
  byId("recorder-done").onclick = () => stop(true);
  byId("recorder-cancel").onclick = () => stop(false);
  dialog.oncancel = () => stop(false);
  dialog.showModal();
  byId("recorder-done").focus();
  recorder.addEventListener("dataavailable", (event) => pieces.push(event.data));
  recorder.start();
  return new Promise((resolve, reject) => {
    const end = () => {
      meter.stop();
      dialog.close();
    };
    recorder.addEventListener("error", (event) => {
      end();
      reject(problem(event.error ?? new Error("the recorder stopped")));
    });
    recorder.addEventListener("stop", () => {
      end();
      const type = recorder.mimeType.split(";")[0];
      const suffix = type.split("/")[1] || "webm";
      resolve(kept ? new File(pieces, `recording ${clock(seconds())}.${suffix}`, { type }) : null);
    });
  });
}

/** Draw what is heard, newest at the right. */
function levelMeter(stream, context, onFrame) {
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  context.createMediaStreamSource(stream).connect(analyser);
  const wave = new Float32Array(analyser.fftSize);
  const levels = [];
  const canvas = byId("recorder-level");
  let on = true;
  const draw = () => {
    if (!on) return;
    analyser.getFloatTimeDomainData(wave);
    levels.push(Math.min(1, Math.max(...wave.map(Math.abs))));
    const { context: pen, width, height } = prepare(canvas);
    pen.fillStyle = colour("--accent");
    const shown = levels.slice(-Math.floor(width / 3));
    shown.forEach((level, index) => {
      const tall = Math.max(1, Math.sqrt(level) * height);
      pen.fillRect(width - 3 * (shown.length - index), (height - tall) / 2, 2, tall);
    });
    onFrame();
    requestAnimationFrame(draw);
  };
  requestAnimationFrame(draw);
  return { stop: () => { on = false; } };
}
