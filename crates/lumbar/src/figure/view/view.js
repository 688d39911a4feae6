// Brings the views of a page to life. See view.rs for the data and for what a page without scripts shows.
(function () {
  "use strict";
  var SCOUT = "#ffd600", CROSS = "#46ff6a", LETTER = "#ffd65a", FONT = '"DejaVu Sans", Verdana, sans-serif';
  var BARS_MM = [500, 200, 100, 50, 20, 10, 5, 2, 1], WHEEL_PX = 40, RANGE_PX = 400;

  function dot(a, b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
  function sub(a, b) { return [a[0] - b[0], a[1] - b[1], a[2] - b[2]]; }
  function clamp(value, low, high) { return Math.min(Math.max(value, low), high); }

  // The patient position in mm of a slice's (column, row).
  function patientAt(slice, at) {
    return [0, 1, 2].map(function (k) {
      return slice.origin[k] + slice.row_axis[k] * slice.spacing[1] * at[0] + slice.column_axis[k] * slice.spacing[0] * at[1];
    });
  }

  // The (column, row) nearest to a patient position, and the distance from the plane in mm.
  function project(slice, point) {
    var v = sub(point, slice.origin), a = dot(v, slice.row_axis), b = dot(v, slice.column_axis);
    var c = dot(slice.row_axis, slice.column_axis), d = 1 - c * c;
    return {
      at: [(a - c * b) / d / slice.spacing[1], (b - c * a) / d / slice.spacing[0]],
      mm: dot(v, slice.normal)
    };
  }

  function isInside(slice, at) {
    return at[0] >= -0.5 && at[1] >= -0.5 && at[0] <= slice.size[0] - 0.5 && at[1] <= slice.size[1] - 0.5;
  }

  // The slice that shows a position: one that has it inside before one that does not, then the nearest.
  function nearest(slices, point) {
    var best = -1, cost = Infinity;
    slices.forEach(function (slice, index) {
      if (!slice.origin) { return; }
      var seen = project(slice, point), own = Math.abs(seen.mm) + (isInside(slice, seen.at) ? 0 : 1e6);
      if (own < cost) { cost = own; best = index; }
    });
    return best;
  }

  // Where the plane of another slice cuts this one: two (column, row) at its edges, or null.
  function scoutLine(slice, other) {
    var a = dot(other.normal, slice.row_axis) * slice.spacing[1];
    var b = dot(other.normal, slice.column_axis) * slice.spacing[0];
    var d = dot(other.normal, sub(slice.origin, other.origin)), ends = [];
    if (Math.hypot(a / slice.spacing[1], b / slice.spacing[0]) < 1e-6) { return null; }
    var right = slice.size[0] - 0.5, bottom = slice.size[1] - 0.5;
    [-0.5, right].forEach(function (c) {
      var r = -(a * c + d) / b;
      if (r >= -0.5 && r <= bottom) { ends.push([c, r]); }
    });
    [-0.5, bottom].forEach(function (r) {
      var c = -(b * r + d) / a;
      if (c >= -0.5 && c <= right) { ends.push([c, r]); }
    });
    return ends.length < 2 ? null : [ends[0], ends[ends.length - 1]];
  }

  function element(tag, parent, text, name) {
    var made = document.createElement(tag);
    if (text) { made.textContent = text; }
    if (name) { made.className = name; }
    if (parent) { parent.appendChild(made); }
    return made;
  }

  function number(value) {
    return Math.abs(value) >= 10 ? value.toFixed(0) : value.toPrecision(2);
  }

  // One stack or series with its canvas.
  function Pane(view, data, image) {
    var pane = this, box = element("div", view.live, "", "lumbar-pane");
    this.view = view;
    this.slices = data.slices;
    this.data = data;
    this.index = data.first;
    this.wheel = 0;
    this.slices.forEach(function (slice) {
      if (!slice.origin) { return; }
      var a = slice.row_axis, b = slice.column_axis;
      var n = [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
      var length = Math.sqrt(dot(n, n));
      slice.normal = n.map(function (value) { return value / length; });
    });
    this.read(image);
    this.reset();
    element("div", box, data.name, "lumbar-name");
    this.canvas = element("canvas", box);
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.slider = element("input", box);
    this.slider.type = "range";
    this.slider.min = 0;
    this.slider.max = this.slices.length - 1;
    this.slider.setAttribute("aria-label", data.name + ": slice");
    this.status = element("div", box, "", "lumbar-status");
    this.status.setAttribute("role", "status");
    this.size();
    this.slider.addEventListener("input", function () { pane.go(Number(pane.slider.value)); });
    this.canvas.addEventListener("wheel", function (event) { pane.onWheel(event); }, { passive: false });
    this.canvas.addEventListener("keydown", function (event) { pane.onKey(event); });
    this.canvas.addEventListener("pointerdown", function (event) { pane.onDown(event); });
    this.canvas.addEventListener("pointermove", function (event) { pane.onMove(event); });
    this.canvas.addEventListener("pointerup", function () { pane.drag = null; });
    this.canvas.addEventListener("pointercancel", function () { pane.drag = null; });
    this.canvas.addEventListener("dblclick", function () { pane.reset(); view.draw(); });
    this.canvas.addEventListener("contextmenu", function (event) { event.preventDefault(); });
  }

  // The grey bytes of all slices.
  Pane.prototype.read = function (image) {
    var canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    var context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    var width = canvas.width, rgba = context.getImageData(0, 0, width, canvas.height).data, data = this.data;
    this.grey = data.slices.map(function (slice, index) {
      var left = index % data.across * data.cell[0], top = Math.floor(index / data.across) * data.cell[1];
      var bytes = new Uint8Array(slice.size[0] * slice.size[1]);
      for (var row = 0, to = 0; row < slice.size[1]; row++) {
        for (var column = 0; column < slice.size[0]; column++, to++) {
          bytes[to] = rgba[((top + row) * width + left + column) * 4];
        }
      }
      return bytes;
    });
  };

  Pane.prototype.slice = function () { return this.slices[this.index]; };
  Pane.prototype.reset = function () { this.black = this.data.black; this.white = this.data.white; };

  // The canvas has room for the largest slice.
  Pane.prototype.size = function () {
    var wide = 0, high = 0;
    this.slices.forEach(function (slice) {
      wide = Math.max(wide, slice.size[0] * slice.spacing[1]);
      high = Math.max(high, slice.size[1] * slice.spacing[0]);
    });
    this.scale = this.data.side_px / Math.max(wide, high);
    this.width = Math.round(wide * this.scale);
    this.height = Math.round(high * this.scale);
    this.canvas.style.width = this.width + "px";
    this.canvas.style.aspectRatio = this.width + " / " + this.height;
  };

  // Between (column, row) and the canvas in CSS pixels of its full size.
  Pane.prototype.corner = function (slice) {
    return [(this.width - slice.size[0] * slice.spacing[1] * this.scale) / 2,
      (this.height - slice.size[1] * slice.spacing[0] * this.scale) / 2];
  };
  Pane.prototype.toCanvas = function (at) {
    var slice = this.slice(), corner = this.corner(slice);
    return [corner[0] + (at[0] + 0.5) * slice.spacing[1] * this.scale, corner[1] + (at[1] + 0.5) * slice.spacing[0] * this.scale];
  };
  Pane.prototype.fromEvent = function (event) {
    var rect = this.canvas.getBoundingClientRect(), slice = this.slice(), corner = this.corner(slice);
    var x = (event.clientX - rect.left) * this.width / rect.width, y = (event.clientY - rect.top) * this.height / rect.height;
    var at = [(x - corner[0]) / slice.spacing[1] / this.scale - 0.5, (y - corner[1]) / slice.spacing[0] / this.scale - 0.5];
    return [clamp(at[0], -0.5, slice.size[0] - 0.5), clamp(at[1], -0.5, slice.size[1] - 0.5)];
  };

  // Another slice. The point of a linked view comes along.
  Pane.prototype.go = function (index) {
    index = clamp(index, 0, this.slices.length - 1);
    if (index !== this.index) {
      this.index = index;
      if (this.view.point) {
        var slice = this.slice(), at = project(slice, this.view.point).at;
        at = [clamp(at[0], 0, slice.size[0] - 1), clamp(at[1], 0, slice.size[1] - 1)];
        this.view.move(patientAt(slice, at), this);
      }
      this.view.draw();
    }
  };

  Pane.prototype.window = function (level, width) {
    var range = this.data.high - this.data.low, centre = (this.black + this.white) / 2 + level * range;
    var half = Math.max((this.white - this.black) / 2 + width * range / 2, range / 512);
    this.black = centre - half;
    this.white = centre + half;
    this.view.draw();
  };

  // At the first and the last slice the wheel scrolls the page.
  Pane.prototype.onWheel = function (event) {
    var px = event.deltaY * (event.deltaMode === 1 ? WHEEL_PX : event.deltaMode === 2 ? 400 : 1);
    if (!px || event.ctrlKey || (px < 0 ? this.index === 0 : this.index === this.slices.length - 1)) { return; }
    event.preventDefault();
    this.wheel = (px < 0) === (this.wheel < 0) ? this.wheel + px : px;
    if (Math.abs(this.wheel) >= WHEEL_PX) {
      this.wheel = 0;
      this.go(this.index + (px < 0 ? -1 : 1));
    }
  };

  Pane.prototype.onKey = function (event) {
    if (event.ctrlKey || event.altKey || event.metaKey) { return; }
    var steps = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1, PageUp: -5, PageDown: 5, Home: -1e6, End: 1e6 };
    var windows = { ArrowUp: [0.02, 0], ArrowDown: [-0.02, 0], ArrowLeft: [0, -0.04], ArrowRight: [0, 0.04] };
    if (event.shiftKey && windows[event.key]) {
      this.window(windows[event.key][0], windows[event.key][1]);
    } else if (steps[event.key]) {
      this.go(this.index + steps[event.key]);
    } else if (event.key === "r") {
      this.reset();
      this.view.draw();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  Pane.prototype.onDown = function (event) {
    var isWindow = !this.view.point || event.shiftKey || event.button === 2;
    if (event.button === 1) { return; }
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.drag = { isWindow: isWindow, x: event.clientX, y: event.clientY };
    if (!isWindow) { this.onMove(event); }
  };

  Pane.prototype.onMove = function (event) {
    if (!this.drag) { return; }
    if (this.drag.isWindow) {
      this.window((this.drag.y - event.clientY) / RANGE_PX, (event.clientX - this.drag.x) / RANGE_PX);
      this.drag.x = event.clientX;
      this.drag.y = event.clientY;
    } else {
      this.view.selected = -1;
      this.view.move(patientAt(this.slice(), this.fromEvent(event)), this);
      this.view.draw();
    }
  };

  Pane.prototype.draw = function () {
    var slice = this.slice(), data = this.data, grey = this.grey[this.index];
    var density = Math.max(window.devicePixelRatio || 1, 1), table = new Uint8Array(256);
    for (var code = 0; code < 256; code++) {
      var value = data.low + (data.high - data.low) * code / 255;
      var shade = clamp(Math.round((value - this.black) / (this.white - this.black) * 255), 0, 255);
      table[code] = slice.is_inverted ? 255 - shade : shade;
    }
    var buffer = document.createElement("canvas");
    buffer.width = slice.size[0];
    buffer.height = slice.size[1];
    var pixels = new ImageData(slice.size[0], slice.size[1]);
    for (var i = 0; i < grey.length; i++) {
      pixels.data[4 * i] = pixels.data[4 * i + 1] = pixels.data[4 * i + 2] = table[grey[i]];
      pixels.data[4 * i + 3] = 255;
    }
    buffer.getContext("2d").putImageData(pixels, 0, 0);
    this.canvas.width = Math.round(this.width * density);
    this.canvas.height = Math.round(this.height * density);
    var context = this.canvas.getContext("2d"), corner = this.corner(slice);
    context.scale(this.canvas.width / this.width, this.canvas.height / this.height);
    context.fillRect(0, 0, this.width, this.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(buffer, corner[0], corner[1], this.width - 2 * corner[0], this.height - 2 * corner[1]);
    this.annotate(context, slice);
    this.describe(slice);
  };

  // A line with a dark outline, which is seen on bright and on dark tissue.
  function stroke(context, colour, width, path) {
    [["#000", width + 1.5], [colour, width]].forEach(function (pen) {
      context.strokeStyle = pen[0];
      context.lineWidth = pen[1];
      context.beginPath();
      path();
      context.stroke();
    });
  }

  function label(context, text, x, y, align, colour, bold) {
    context.font = (bold ? "bold " : "") + "12px " + FONT;
    context.textAlign = align;
    context.textBaseline = "middle";
    context.lineJoin = "round";
    context.lineWidth = 3;
    context.strokeStyle = "#000";
    context.strokeText(text, x, y);
    context.fillStyle = colour;
    context.fillText(text, x, y);
  }

  Pane.prototype.annotate = function (context, slice) {
    var pane = this, view = this.view, w = this.width, h = this.height;
    view.panes.forEach(function (other) {
      var line = other !== pane && view.point && scoutLine(slice, other.slice());
      if (!line) { return; }
      var from = pane.toCanvas(line[0]), to = pane.toCanvas(line[1]);
      stroke(context, SCOUT, 1.2, function () { context.moveTo(from[0], from[1]); context.lineTo(to[0], to[1]); });
    });
    var rings = [];
    view.data.marks.forEach(function (mark) {
      var seen = slice.origin && project(slice, mark.position_mm);
      if (!seen || Math.abs(seen.mm) > slice.gap_mm / 2 || !isInside(slice, seen.at)) { return; }
      rings.push({ mark: mark, at: pane.toCanvas(seen.at) });
    });
    rings.forEach(function (ring) {
      var mark = ring.mark, at = ring.at, isChosen = mark.target === view.selected;
      stroke(context, mark.colour, isChosen ? 2.5 : 1.5, function () { context.arc(at[0], at[1], 8, 0, 7); });
    });
    // a name is on the side where no other ring is, and left out if there are rings on both
    rings.forEach(function (ring) {
      var at = ring.at, isTaken = [1, -1].map(function (way) {
        return rings.some(function (other) {
          var away = (other.at[0] - at[0]) * way;
          return other !== ring && away >= 0 && away < 80 && Math.abs(other.at[1] - at[1]) < 18;
        });
      });
      var isLeft = isTaken[0] || at[0] + 60 > w;
      if (isLeft && isTaken[1]) { return; }
      label(context, ring.mark.name, at[0] + (isLeft ? -12 : 12), at[1], isLeft ? "right" : "left", ring.mark.colour);
    });
    delete this.canvas.dataset.at;
    if (view.point) {
      var seen = project(slice, view.point), at = this.toCanvas(seen.at);
      this.canvas.dataset.at = seen.at.map(function (v) { return v.toFixed(3); }).join(",");
      this.canvas.dataset.distanceMm = seen.mm.toFixed(3);
      // the middle of the cross is open and leaves the lesion uncovered
      stroke(context, CROSS, 1.5, function () {
        [[1, 0], [-1, 0], [0, 1], [0, -1]].forEach(function (way) {
          context.moveTo(at[0] + 7 * way[0], at[1] + 7 * way[1]);
          context.lineTo(at[0] + 20 * way[0], at[1] + 20 * way[1]);
        });
      });
    }
    if (slice.sides) {
      label(context, slice.sides[0], 5, h / 2, "left", LETTER, true);
      label(context, slice.sides[1], w - 5, h / 2, "right", LETTER, true);
      label(context, slice.sides[2], w / 2, 10, "center", LETTER, true);
      label(context, slice.sides[3], w / 2, h - 10, "center", LETTER, true);
    }
    if (this.data.has_size) {
      var scale = this.scale, mm = BARS_MM.filter(function (length) { return length * scale <= 0.4 * w; })[0] || 1;
      stroke(context, "#fafafa", 2.5, function () { context.moveTo(10, h - 10); context.lineTo(10 + mm * scale, h - 10); });
      label(context, mm + " mm", 10, h - 22, "left", "#fafafa");
    }
  };

  Pane.prototype.describe = function (slice) {
    var text = slice.name + " (" + (this.index + 1) + " of " + this.slices.length + "), signal " +
      number(this.black) + " to " + number(this.white);
    if (this.view.point) {
      var mm = Math.abs(project(slice, this.view.point).mm);
      text += mm > 0.05 ? ", cross " + mm.toFixed(1) + " mm beside the slice" : ", cross on the slice";
    }
    this.status.textContent = text;
    this.slider.value = this.index;
    this.slider.setAttribute("aria-valuetext", slice.name);
    this.canvas.setAttribute("aria-label", this.data.name + ", " + text);
    this.canvas.dataset.slice = slice.name;
    this.canvas.dataset.index = this.index;
    this.canvas.dataset.window = this.black + "," + this.white;
  };

  // The table of conditions and levels: a click goes to the annotated point.
  function Grades(view, data) {
    var grades = this, choices = [["prediction", "prediction"], ["label", "label"]];
    this.view = view;
    this.data = data;
    choices = choices.filter(function (choice) {
      return data.cells.some(function (cell) { return cell[choice[1]] !== null; });
    });
    this.shown = choices.length ? choices[0][1] : "";
    var bar = element("div", view.live, "", "lumbar-choice");
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "what the table shows");
    this.buttons = choices.map(function (choice) {
      var button = element("button", bar, choice[0]);
      button.type = "button";
      button.addEventListener("click", function () { grades.shown = choice[1]; view.draw(); });
      return [button, choice[1]];
    });
    if (choices.length === 2) { element("span", bar, "black frame: the two differ"); }
    var table = element("table", view.live), head = element("tr", element("thead", table)), body = element("tbody", table);
    element("td", head);
    data.levels.forEach(function (level) { element("th", head, level).scope = "col"; });
    this.cells = [];
    data.conditions.forEach(function (condition, row) {
      var line = element("tr", body);
      element("th", line, condition).scope = "row";
      data.levels.forEach(function (level, column) {
        var index = row * data.levels.length + column, cell = data.cells[index];
        var button = element("button", element("td", line));
        button.type = "button";
        button.disabled = !cell.position_mm;
        button.addEventListener("click", function () {
          view.selected = index;
          view.move(cell.position_mm, null);
          view.draw();
        });
        grades.cells.push(button);
      });
    });
  }

  Grades.prototype.draw = function () {
    var grades = this, data = this.data;
    this.buttons.forEach(function (pair) { pair[0].setAttribute("aria-pressed", String(pair[1] === grades.shown)); });
    this.cells.forEach(function (button, index) {
      var cell = data.cells[index], row = cell.prediction, best = row && row.indexOf(Math.max.apply(null, row));
      var shown = grades.shown === "label" ? cell.label : best, text = shown === null ? "no label" : data.severities[shown].name;
      if (grades.shown === "prediction" && row) {
        text += " " + (100 * row[best] / (row[0] + row[1] + row[2])).toFixed(0) + "%";
      }
      button.textContent = text;
      button.style.background = shown === null ? "#e8e8e8" : data.severities[shown].colour;
      button.style.color = shown === null ? "#000" : data.severities[shown].ink;
      var differs = row && cell.label !== null && cell.label !== best;
      button.className = (differs ? "lumbar-differs" : "") + (index === grades.view.selected ? " lumbar-chosen" : "");
      button.setAttribute("aria-label", cell.name + ": " + grades.shown + " " + text +
        (differs ? ", label and prediction differ" : "") + (cell.position_mm ? "" : ", not annotated"));
    });
  };

  function View(root, data, images) {
    var view = this;
    this.data = data;
    this.point = data.point;
    this.selected = data.selected;
    this.live = document.createElement("div");
    this.live.className = "lumbar-live";
    // JupyterLab's own keys are off inside
    this.live.setAttribute("data-lm-suppress-shortcuts", "true");
    element("div", this.live, data.title, "lumbar-title");
    this.panes = [];
    data.panes.forEach(function (pane, index) { view.panes.push(new Pane(view, pane, images[index])); });
    this.grades = data.grades ? new Grades(this, data.grades) : null;
    element("div", this.live, (data.point
      ? "Click or drag: the same point in both. Wheel, arrow keys: slices. Drag with Shift or the right button: "
      : "Wheel, arrow keys: slices. Drag: ") + "window (up: darker, right: less contrast); r: back to its start.", "lumbar-note");
    if (data.note) { element("div", this.live, data.note, "lumbar-note"); }
    if (this.point) { this.move(this.point, null); }
    this.draw();
    root.appendChild(this.live);
    root.classList.add("lumbar-alive");
  }

  // Other panes go to the slices that are nearest to the point.
  View.prototype.move = function (point, from) {
    this.point = point;
    this.panes.forEach(function (pane) {
      if (pane !== from) { pane.index = Math.max(nearest(pane.slices, point), 0); }
    });
  };

  View.prototype.draw = function () {
    this.panes.forEach(function (pane) { pane.draw(); });
    if (this.grades) { this.grades.draw(); }
  };

  function start(root) {
    if (root.dataset.started) { return; }
    root.dataset.started = "yes";
    var data = JSON.parse(root.querySelector('script[type="application/json"]').textContent), images = [], left = data.panes.length;
    data.panes.forEach(function (pane, index) {
      images[index] = new Image();
      // without its images a view stays as it is on a page without scripts
      images[index].onload = function () {
        left -= 1;
        if (!left) { new View(root, data, images); }
      };
      images[index].src = "data:image/png;base64," + pane.image;
    });
  }

  var here = document.currentScript && document.currentScript.parentNode;
  [here, document].forEach(function (place) {
    if (place && place.querySelectorAll) { Array.prototype.forEach.call(place.querySelectorAll(".lumbar-view"), start); }
  });
})();
