// Draws the figures, lets the slider choose the step, and follows the reader's choice of light or dark.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SHARES = { saturation: "saturated", dead_fraction: "dead" };

  function styled(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // A norm is kept as its logarithm, so that one beyond the range of a double can be written too.
  function normText(log) {
    if (Number.isNaN(log)) return "NaN";
    if (log === -Infinity) return "0 (exactly)";
    if (log === Infinity) return "∞";
    const power = Math.floor(log);
    if (power > -4 && power < 5) return String(Number((10 ** log).toPrecision(3)));
    const exponent = String(Math.abs(power)).padStart(2, "0");
    return `${(10 ** (log - power)).toFixed(2)}e${power < 0 ? "-" : "+"}${exponent}`;
  }

  // Text of a tooltip is set as text, whatever a layer or a run is called.
  function tooltip(text) {
    const element = document.createElement("div");
    element.style.cssText =
      "font: 13px/1.45 ui-sans-serif, system-ui, sans-serif; white-space: pre-wrap; overflow-wrap: anywhere; max-width: 26em; padding: 1px 3px";
    element.textContent = text;
    element.dataset.tip = "";
    return element;
  }

  function imageTip(source, at) {
    const [kind, number, ...field] = source.name.split("-");
    const run = data.runs[Number(number)];
    const value = source.data.image[0][at.j * run.steps.length + at.i];
    const name = field.join("-");
    const shown = kind === "heat" ? `${run.words[name]}: ${normText(value)}` : `${(100 * value).toFixed(0)} % ${SHARES[name]}`;
    return `${run.layers[at.j]}\nstep ${run.steps[at.i].toLocaleString("en")}\n${shown}`;
  }

  function showTips(models) {
    for (const model of models) {
      if (model.type !== "HoverTool") continue;
      model.tooltips = (source, vars) => {
        if (vars.image_index) return tooltip(imageTip(source, vars.image_index));
        return tooltip(source.data.tip[vars.index ?? 0] ?? "");
      };
    }
  }

  // Colours that are too dark for a dark ground have another there: page.css says which.
  const written = new Map();
  function repaint(model, properties = ["line_color", "fill_color"]) {
    for (const property of properties) {
      const key = `${model.id} ${property}`;
      if (!written.has(key)) written.set(key, model[property]?.value ?? model[property]);
      const colour = written.get(key);
      if (typeof colour === "string" && colour.startsWith("#")) model[property] = styled(`--c-${colour.slice(1)}`) || colour;
    }
  }

  function paint(models) {
    const ink = styled("--soft");
    const grid = styled("--grid");
    for (const model of models) {
      if (/Axis$/.test(model.type)) {
        model.setv({ axis_label_text_color: ink, major_label_text_color: ink, axis_line_color: grid, major_tick_line_color: grid });
      } else if (model.type === "Grid") {
        if (model.grid_line_color !== null) model.grid_line_color = grid;
      } else if (model.type === "ColorBar") {
        model.major_label_text_color = ink;
      } else if (model.type === "Span") {
        model.line_color = styled("--ink");
      } else if (model.type === "GlyphRenderer") {
        if (model.name === "ink") model.glyph.line_color = styled("--ink");
        else repaint(model.glyph);
      } else if (model.type === "BoxAnnotation") {
        repaint(model);
      } else if (model.type === "LinearColorMapper") {
        repaint(model, ["low_color", "high_color", "nan_color"]);
      }
    }
  }

  // The columns of one step, as reports/flow.py makes them for the first.
  function frame(run, signal, column) {
    const { zero, nonfinite, crowded } = run;
    const logs = logsAt(run, signal, column);
    const usual = logs.map(Number.isFinite);
    return {
      layer: logs.map((_, layer) => layer),
      line: logs.map((log, layer) => (usual[layer] ? log : NaN)),
      place: logs.map((log, layer) => (usual[layer] ? log : log === -Infinity ? zero : nonfinite)),
      marker: logs.map((log, layer) => (usual[layer] ? run.markers[signal] : log === -Infinity ? "inverted_triangle" : "x")),
      size: logs.map((_, layer) => (usual[layer] ? (crowded ? 3 : 6) : 8)),
    };
  }

  function logsAt(run, signal, column) {
    const image = byName(`heat-${run.number}-${signal}`).data.image[0];
    return run.layers.map((_, layer) => image[layer * run.steps.length + column]);
  }

  function tips(run, column) {
    const logs = run.signals.map((signal) => logsAt(run, signal, column));
    return run.layers.map((name, layer) =>
      [name, ...run.signals.map((signal, k) => `${run.words[signal]}: ${normText(logs[k][layer])}`)].join("\n"),
    );
  }

  function byName(name) {
    for (const document of Bokeh.documents) {
      const model = document.get_model_by_name(name);
      if (model) return model;
    }
    return null;
  }

  function show(step) {
    for (const run of data.runs) {
      let column = run.steps.findLastIndex((drawn) => drawn <= step);
      column = Math.max(column, 0); // a run that ended, or is recorded more rarely, stays at its last step
      const ended = document.getElementById(`ended-${run.number}`);
      if (ended) ended.textContent = run.steps.at(-1) < step ? `· ended at step ${run.steps.at(-1).toLocaleString("en")}` : "";
      for (const signal of run.signals) {
        const columns = frame(run, signal, column);
        if (signal === run.signals[0]) columns.tip = tips(run, column);
        byName(`flow-${run.number}-${signal}`).data = columns;
      }
      for (const name of [...run.signals.map((signal) => `heat-${run.number}-${signal}`), ...Object.keys(SHARES).map((share) => `share-${run.number}-${share}`)]) {
        const cursor = byName(`cursor-${name}`);
        if (cursor) cursor.location = column;
      }
    }
    for (const name of ["cursor-step-loss", "cursor-step-norm"]) {
      const cursor = byName(name);
      if (cursor) cursor.location = step;
    }
  }

  function connectSlider() {
    const slider = document.getElementById("step");
    if (!slider) return;
    const shown = document.getElementById("step-shown");
    const play = document.getElementById("play");
    let timer = 0;
    let asked = false;

    function update() {
      const step = data.steps[slider.valueAsNumber];
      shown.textContent = step.toLocaleString("en");
      slider.setAttribute("aria-valuetext", `step ${step}`);
      if (asked) return; // one drawing a frame, however fast the slider moves
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        show(data.steps[slider.valueAsNumber]);
      });
    }

    function stop() {
      clearInterval(timer);
      timer = 0;
      play.setAttribute("aria-pressed", "false");
    }

    slider.addEventListener("input", () => {
      stop();
      update();
    });
    play.addEventListener("click", () => {
      if (timer) return stop();
      const last = data.steps.length - 1;
      if (slider.valueAsNumber === last) slider.value = 0;
      const stride = Math.max(1, Math.round(last / 120)); // some ten seconds from end to end
      play.setAttribute("aria-pressed", "true");
      timer = setInterval(() => {
        slider.value = Math.min(last, slider.valueAsNumber + stride);
        update();
        if (slider.valueAsNumber === last) stop();
      }, 80);
      return undefined;
    });
    update();
  }

  // Section by section, so that the first is there while the last is still to be drawn.
  async function draw() {
    for (const [number, json] of data.documents.entries()) {
      const docid = `report-${number}`;
      const roots = json.roots.map((root) => root.id);
      const item = { docid, roots: Object.fromEntries(roots.map((root) => [root, data.places[root]])), root_ids: roots };
      await Bokeh.embed.embed_items({ [docid]: json }, [item]);
      for (const root of roots) {
        const pointed = Bokeh.index.get_by_id(root)?.canvas_view?.events_el;
        if (pointed) pointed.tabIndex = -1; // there is nothing to do in a figure with the keyboard
      }
      const models = Bokeh.documents.at(-1).all_models;
      showTips(models);
      paint(models);
      await new Promise(requestAnimationFrame);
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const document of Bokeh.documents) paint(document.all_models);
    });
    connectSlider();
    document.documentElement.dataset.drawn = String(Math.round(performance.now())); // for whoever measures
  }

  draw();
})();
