// What part of a map is seen: zoom and place, and the fingers, wheel and mouse that change them.

const NEAREST = 60; // times; nearer, single points fill the screen
const MARGIN = 24; // CSS pixels around everything
const DRAG = 5; // pixels; less is a click

/** World coordinates are the map's, [0, 1] each way; screen coordinates are CSS pixels. */
export class Camera {
  zoom = 1;
  x = 0.5;
  y = 0.5;
  width = 1;
  height = 1;

  resize(width, height) {
    Object.assign(this, { width, height });
  }

  /** Pixels per unit; the map keeps its shape. */
  get scale() {
    return Math.max(1, Math.min(this.width, this.height) - 2 * MARGIN) * this.zoom;
  }

  /** A wide frame would leave a square map small: its x axis may stretch up to half as much again. */
  get stretch() {
    return Math.min(1.6, Math.max(1, this.width / this.height));
  }

  toScreen(x, y) {
    const { scale } = this;
    return [this.width / 2 + (x - this.x) * scale * this.stretch, this.height / 2 - (y - this.y) * scale];
  }

  toWorld(left, top) {
    const { scale } = this;
    return [this.x + (left - this.width / 2) / (scale * this.stretch), this.y - (top - this.height / 2) / scale];
  }

  /** Zoom by a factor; what is under (left, top) stays there. */
  zoomBy(factor, left = this.width / 2, top = this.height / 2) {
    const [x, y] = this.toWorld(left, top);
    this.zoom = Math.min(NEAREST, Math.max(1, this.zoom * factor));
    const [nowX, nowY] = this.toWorld(left, top);
    this.#place(this.x + x - nowX, this.y + y - nowY);
  }

  /** Move by pixels. */
  panBy(right, down) {
    this.#place(this.x - right / (this.scale * this.stretch), this.y + down / this.scale);
  }

  /** Move no more than is needed to show a point well inside the frame. */
  reveal(x, y) {
    const [left, top] = this.toScreen(x, y);
    const edge = Math.min(60, this.width / 4, this.height / 4);
    const beyond = (at, size) => Math.min(0, at - edge) + Math.max(0, at - (size - edge));
    this.panBy(-beyond(left, this.width), -beyond(top, this.height));
  }

  all() {
    Object.assign(this, { zoom: 1, x: 0.5, y: 0.5 });
  }

  #place(x, y) {
    this.x = Math.min(1, Math.max(0, x));
    this.y = Math.min(1, Math.max(0, y));
  }
}

/** Connect mouse, pen, fingers and wheel. `moved()`, `hover(left, top)`, `click(left, top)`. */
export function connectPointers(canvas, camera, { moved, hover, click }) {
  const down = new Map();
  let dragged = 0;
  const at = (event) => [event.offsetX, event.offsetY];

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (!down.size) dragged = 0;
    down.set(event.pointerId, at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    const now = at(event);
    if (!before) return hover(...now);
    const others = [...down].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    dragged += Math.hypot(now[0] - before[0], now[1] - before[1]);
    if (others.length) pinch(camera, before, now, others[0]);
    else if (dragged > DRAG) camera.panBy(now[0] - before[0], now[1] - before[1]);
    down.set(event.pointerId, now);
    return moved();
  });
  const up = (event) => {
    const alone = down.size === 1;
    if (down.delete(event.pointerId) && event.type === "pointerup" && alone && dragged <= DRAG) click(...at(event));
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    camera.zoomBy(Math.exp(-event.deltaY / (event.deltaMode ? 20 : 300)), ...at(event));
    moved();
  }, { passive: false });
}

function pinch(camera, before, now, other) {
  const far = (place) => Math.max(10, Math.hypot(place[0] - other[0], place[1] - other[1]));
  camera.panBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  camera.zoomBy(far(now) / far(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
}
