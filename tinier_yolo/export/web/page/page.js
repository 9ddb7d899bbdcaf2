// The page around the detector.

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const view = element("view"), summary = element("summary"), thresh = element("thresh"), size = element("size");
const video = document.createElement("video");
const work = document.createElement("canvas"); // holds the pixels of the picture at work
const pixels = work.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
let detector = null, stream = null, shown = null, asked = 0;
let frameTimes = [], lastSaid = 0;

const plural = (count) => {
  const name = data.classNames.length === 1 ? data.classNames[0] : "object";
  return count === 0 ? `No ${name}` : count === 1 ? `1 ${name}` : `${count} ${name}s`;
};

function say(text, isError = false) {
  if (summary.textContent !== text) summary.textContent = text;
  summary.classList.toggle("error", isError);
}

/** Detect in what `work` holds, and show it. */
function detectFrame(name) {
  const start = performance.now();
  const rgba = pixels.getImageData(0, 0, work.width, work.height).data;
  const networkTime = detector.run(rgba, work.width, work.height);
  const found = detector.boxes(Number(thresh.value), data.nms);
  shown = { name, found, frame: performance.now() - start, network: networkTime };
  show();
}

/** Other boxes of the same map: the threshold has moved. */
function redecode() {
  element("thresh-value").textContent = Number(thresh.value).toFixed(2);
  if (!shown || stream) return;
  shown.found = detector.boxes(Number(thresh.value), data.nms);
  show();
}

function show() {
  draw(shown.found);
  fillTable(shown.found);
  element("frame-ms").textContent = `${shown.frame.toFixed(1)} ms`;
  element("network-ms").textContent = `${shown.network.toFixed(1)} ms`;
  const text = `${plural(shown.found.length)} in ${shown.name}`;
  // A screen reader shall not be told of 30 frames a second.
  if (!stream || performance.now() - lastSaid > 2000) {
    say(text);
    lastSaid = performance.now();
  }
  view.setAttribute("aria-label", `${shown.name}, ${work.width} by ${work.height} pixels: ${plural(shown.found.length)}`);
  globalThis.tinierYolo = { detector, found: shown.found, frame: shown.frame, network: shown.network };
}

function draw(found) {
  element("empty").hidden = true;
  view.hidden = false;
  // A small picture is enlarged, so that lines and letters are sharp on it; for frames of a camera that takes too long.
  const zoom = stream ? 1 : Math.ceil(1200 / Math.max(1200 / 4, work.width, work.height));
  const [width, height] = [work.width * zoom, work.height * zoom];
  if (view.width !== width || view.height !== height) [view.width, view.height] = [width, height];
  const context = view.getContext("2d");
  context.setTransform(zoom, 0, 0, zoom, 0, 0);
  context.drawImage(work, 0, 0);
  // As thick on the screen for every picture.
  const unit = Math.max(work.width / (view.clientWidth || 1), work.height / (view.clientHeight || 1));
  context.font = `600 ${13 * unit}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  for (const [number, { box, score, classId }] of found.entries()) {
    const [left, top, right, bottom] = box;
    for (const [colour, thickness] of [["rgb(0 0 0 / 60%)", 5], ["#7df0ff", 2.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = thickness * unit;
      context.strokeRect(left, top, right - left, bottom - top);
    }
    label(context, `${number + 1}: ${data.classNames.length > 1 ? `${data.classNames[classId]} ` : ""}${score.toFixed(2)}`, left, top, unit);
  }
}

function label(context, text, left, top, unit) {
  const width = context.measureText(text).width + 10 * unit, height = 19 * unit;
  const x = Math.max(0, Math.min(left, work.width - width)), y = top >= height ? top - height : top;
  context.fillStyle = "#7df0ff";
  context.fillRect(x, y, width, height);
  context.fillStyle = "#06272d";
  context.fillText(text, x + 5 * unit, y + height / 2 + unit / 2);
}

function fillTable(found) {
  const body = element("boxes").tBodies[0];
  element("boxes").hidden = found.length === 0;
  const cells = found.map(({ box, score }, i) => [i + 1, score.toFixed(2), ...box.map((edge) => edge.toFixed(1))]);
  body.replaceChildren(...cells.map((row) => {
    const line = document.createElement("tr");
    line.append(...row.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
    return line;
  }));
}

function put(source, width, height) {
  if (work.width !== width || work.height !== height) [work.width, work.height] = [width, height];
  pixels.drawImage(source, 0, 0);
}

async function takeFile(file) {
  if (!detector || !file) return;
  const mine = ++asked;
  try {
    // Upright as its EXIF orientation says, its colours as they are: as Python reads it.
    const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
    const bitmap = await createImageBitmap(file, options);
    if (mine !== asked) return; // another picture was chosen meanwhile
    stopCamera();
    put(bitmap, bitmap.width, bitmap.height);
    bitmap.close();
    element("rate").textContent = "–";
    detectFrame(file.name || "the picture");
  } catch (error) {
    const reason = error instanceof DOMException ? "This browser cannot read it as a picture." : error.message;
    say(`${file.name || "The picture"}: ${reason}`, true);
  }
}

async function startCamera() {
  if (!navigator.mediaDevices) {
    say("The camera needs a page from https:// or from this machine.", true);
    return;
  }
  try {
    const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" };
    stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
  } catch (error) {
    say(error.name === "NotAllowedError" ? "The camera was not allowed." : `No camera: ${error.message}`, true);
    return;
  }
  asked++;
  frameTimes = [];
  lastSaid = 0;
  video.muted = video.playsInline = true;
  video.srcObject = stream;
  for (const track of stream.getTracks()) track.addEventListener("ended", stopCamera);
  element("camera").textContent = "Stop the camera";
  element("camera").setAttribute("aria-pressed", "true");
  await video.play();
  nextFrame();
}

function stopCamera() {
  if (!stream) return;
  for (const track of stream.getTracks()) track.stop();
  stream = video.srcObject = null;
  element("camera").textContent = "Use the camera";
  element("camera").setAttribute("aria-pressed", "false");
  if (shown) say(`${plural(shown.found.length)} in ${shown.name}`);
}

function nextFrame() {
  if (!stream) return;
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(cameraFrame);
  else requestAnimationFrame(cameraFrame);
}

function cameraFrame() {
  if (!stream) return;
  if (video.videoWidth) {
    put(video, video.videoWidth, video.videoHeight);
    try {
      detectFrame("the camera");
    } catch (error) {
      stopCamera();
      say(error.message, true);
      return;
    }
    const now = performance.now();
    frameTimes = [...frameTimes, now].filter((time) => now - time <= 2000);
    if (frameTimes.length > 1) {
      const rate = ((frameTimes.length - 1) * 1000) / (now - frameTimes[0]);
      element("rate").textContent = rate.toFixed(rate < 10 ? 1 : 0);
    }
  }
  nextFrame();
}

function setSize() {
  const [width, height] = size.value.split("x").map(Number);
  detector.setSize(width, height);
  if (shown && !stream) detectFrame(shown.name);
}

function listen() {
  element("choose").addEventListener("click", () => element("file").click());
  element("file").addEventListener("change", (event) => {
    takeFile(event.target.files[0]);
    event.target.value = ""; // so that the same file can be chosen again
  });
  element("camera").addEventListener("click", () => (stream ? stopCamera() : startCamera()));
  thresh.addEventListener("input", redecode);
  size.addEventListener("change", setSize);
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("paste", (event) => takeFile([...event.clipboardData.files].find((f) => f.type.startsWith("image/"))));
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    element("stage").classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || element("stage").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    element("stage").classList.remove("over");
    takeFile(event.dataTransfer.files[0]);
  });
  addEventListener("resize", () => shown && !stream && draw(shown.found));
}

async function start() {
  for (const [width, height] of data.sizes) {
    const name = width === height ? `${width}` : `${width} × ${height}`;
    size.append(new Option(`${name} pixels`, `${width}x${height}`));
  }
  thresh.value = data.thresh;
  size.value = data.size.join("x");
  try {
    detector = await Detector.load(data);
    if (!detector.proves()) throw new Error("This browser does not give the reference's numbers.");
    element("proof").textContent = "Checked at start: this browser gives the reference’s numbers, bit for bit.";
    setSize();
  } catch (error) {
    say(error instanceof WebAssembly.CompileError ? "This browser lacks WebAssembly SIMD." : error.message, true);
    return;
  }
  listen();
  say("Ready.");
  document.documentElement.dataset.ready = performance.now().toFixed(0);
}

start();
