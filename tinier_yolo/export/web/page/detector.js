"use strict";
// The detector: the module runs letterbox and network in integers; boxes are decoded here in float64 and rounded to
// float32 where detection/region.py and detection/detector.py do, so that they are Python's.

const bytesOf = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

/** Replace the relaxed swizzle (fd 80 02) by the strict one, its number written as long (fd 8e 00). */
function withoutRelaxed(wasm) {
  const strict = wasm.slice();
  for (let i = 0; i + 2 < strict.length; i++) {
    if (strict[i] === 0xfd && strict[i + 1] === 0x80 && strict[i + 2] === 0x02) strict.set([0x8e, 0x00], i + 1);
  }
  return strict;
}

function sigmoid(x) {
  const decay = Math.exp(-Math.abs(x));
  return (x >= 0 ? 1 : decay) / (1 + decay);
}

/** The least integer logit whose sigmoid reaches a threshold. */
function integerThreshold(thresh, fractionBits) {
  if (thresh <= 0) return -(2 ** 31);
  return thresh >= 1 ? 2 ** 31 : Math.ceil((Math.log(thresh) - Math.log1p(-thresh)) * 2 ** fractionBits);
}

function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  const both = Math.max(0, width) * Math.max(0, height);
  const union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both;
  return union > 0 ? both / union : 0;
}

/** Greedy suppression inside each class; equal scores keep their order. */
function suppress(found, nms) {
  const kept = [];
  for (const one of found.map((d, i) => [d, i]).sort((a, b) => b[0].score - a[0].score || a[1] - b[1])) {
    const fits = (other) => other.classId !== one[0].classId || overlap(other.box, one[0].box) <= nms;
    if (kept.every(fits)) kept.push(one[0]);
  }
  return kept;
}

class Detector {
  constructor(data, exports) {
    this.data = data;
    this.module = exports;
    const words = bytesOf(data.words);
    exports.begin(exports.__heap_base.value, exports.memory.buffer.byteLength);
    const at = exports.program_words(words.length / 4);
    new Uint8Array(exports.memory.buffer, at, words.length).set(words);
    if (exports.load_program(at, words.length / 4) !== 0) throw new Error("The model in this page is damaged.");
  }

  static async load(data) {
    let wasm = bytesOf(data.module);
    if (!WebAssembly.validate(wasm)) wasm = withoutRelaxed(wasm);
    const { instance } = await WebAssembly.instantiate(wasm, {});
    return new Detector(data, instance.exports);
  }

  setSize(width, height) {
    if (this.module.set_size(width, height) !== 0) throw new Error(`The network cannot take ${width} by ${height} pixels.`);
    this.size = [width, height];
    this.pictureSize = null;
  }

  /** Whether the module gives the map that the reference gave when this page was made. */
  proves() {
    const { width, height, values, sum } = this.data.proof;
    this.setSize(width, height);
    const input = new Uint8Array(this.module.memory.buffer, this.module.input(), width * height * 4);
    for (let i = 0; i < width * height * 3; i++) input[Math.floor(i / 3) * 4 + (i % 3)] = Math.imul(i, 7919) >>> 3;
    const map = new Uint8Array(this.module.memory.buffer, this.module.run_network(), values * 4);
    let hash = 0x811c9dc5;
    for (const byte of map) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
    return hash === sum;
  }

  /** Put RGBA pixels through letterbox and network; returns the milliseconds of the network. */
  run(rgba, width, height) {
    if (!this.pictureSize || this.pictureSize[0] !== width || this.pictureSize[1] !== height) {
      this.picture = this.module.picture(width, height);
      if (!this.picture) throw new Error(`The picture is too large: ${width} by ${height} pixels.`);
      this.pictureSize = [width, height];
    }
    new Uint8Array(this.module.memory.buffer, this.picture, rgba.length).set(rgba);
    this.module.place(this.picture, width, height);
    const start = performance.now();
    this.output = this.module.run_network();
    return performance.now() - start;
  }

  /** The boxes of the last picture: [{box: [left, top, right, bottom], score, classId}], the highest score first. */
  boxes(thresh, nms) {
    const found = this.decode(thresh), [width, height] = this.pictureSize;
    const { scale, offset } = this.placing();
    const inside = [];
    for (const { box, score, classId } of found) {
      const moved = box.map((edge, i) => (edge - offset[i % 2]) / scale[i % 2]);
      const cut = moved.map((edge, i) => Math.min(Math.max(edge, 0), i % 2 ? height : width));
      if (cut[2] > cut[0] && cut[3] > cut[1]) inside.push({ box: cut, score, classId });
    }
    return suppress(inside, nms).map((d) => ({ ...d, box: d.box.map(Math.fround) }));
  }

  placing() {
    const [width, height] = this.size, [pictureWidth, pictureHeight] = this.pictureSize;
    const resized = [width, height];
    if (this.data.letterBox && width * pictureHeight < height * pictureWidth) {
      resized[1] = Math.max(1, Math.floor((pictureHeight * width) / pictureWidth));
    } else if (this.data.letterBox) {
      resized[0] = Math.max(1, Math.floor((pictureWidth * height) / pictureHeight));
    }
    return {
      scale: [resized[0] / pictureWidth, resized[1] / pictureHeight],
      offset: [Math.floor((width - resized[0]) / 2), Math.floor((height - resized[1]) / 2)],
    };
  }

  decode(thresh) {
    const { stride, anchors, classes, fractionBits } = this.data;
    const columns = this.size[0] / stride, rows = this.size[1] / stride, cells = columns * rows;
    const map = new Int32Array(this.module.memory.buffer, this.output, anchors.length * (5 + classes) * cells);
    const least = integerThreshold(thresh, fractionBits), unit = 2 ** -fractionBits, found = [];
    for (let anchor = 0; anchor < anchors.length; anchor++) {
      for (let cell = 0; cell < cells; cell++) {
        const t = (i) => map[(anchor * (5 + classes) + i) * cells + cell];
        if (t(4) < least) continue;
        const objectness = Math.max(sigmoid(t(4) * unit), thresh);
        const { classId, probability } = this.classify((i) => t(5 + i) * unit);
        const x = (cell % columns) + sigmoid(t(0) * unit), y = Math.floor(cell / columns) + sigmoid(t(1) * unit);
        const across = (anchors[anchor][0] * Math.exp(Math.min(t(2) * unit, 16))) / 2;
        const down = (anchors[anchor][1] * Math.exp(Math.min(t(3) * unit, 16))) / 2;
        const box = [x - across, y - down, x + across, y + down].map((edge) => Math.fround(edge * stride));
        if (objectness * probability >= thresh) found.push({ box, score: Math.fround(objectness * probability), classId });
      }
    }
    return found;
  }

  classify(logit) {
    const logits = Array.from({ length: this.data.classes }, (_, i) => logit(i)), top = Math.max(...logits);
    const powers = logits.map((value) => Math.exp(value - top)), sum = powers.reduce((a, b) => a + b, 0);
    const probabilities = this.data.softmax ? powers.map((power) => power / sum) : logits.map(sigmoid);
    const classId = probabilities.indexOf(Math.max(...probabilities));
    return { classId, probability: probabilities[classId] };
  }
}
