// The page: a picture goes to /v1/classify, its record comes back as bars.  Nothing from elsewhere, nothing kept.
"use strict";

const at = (id) => document.getElementById(id);
const stage = at("stage");
let latest = 0;     // which picture was the last; an answer to one before it is not shown
let shown = null;   // the address of the picture on show

function say(text, kind) {
  const status = at("status");
  status.textContent = text;
  status.className = kind || "";
}

function percent(score) {
  return new Intl.NumberFormat("en", {style: "percent", maximumFractionDigits: 1}).format(score);
}

function bar(prediction, top) {
  const line = document.createElement("li");
  const [label, score, track, fill] = ["span", "span", "div", "div"].map((kind) => document.createElement(kind));
  // A probability, most likely; other models give other numbers.
  const share = Math.max(0, top <= 1 ? prediction.score : prediction.score / top);
  label.className = "label";
  label.textContent = prediction.label;
  score.className = "score";
  score.textContent = top <= 1 ? percent(prediction.score) : prediction.score.toPrecision(3);
  track.className = "track";      // for the eyes alone: the number says it, too
  track.setAttribute("aria-hidden", "true");
  fill.style.width = 100 * share + "%";
  track.append(fill);
  line.append(label, score, track);
  return line;
}

function show(record, seconds) {
  const found = record.predictions.filter((one, rank) => rank === 0 || one.score > 0);
  const top = found.length ? found[0].score : 0;
  at("bars").replaceChildren(...found.map((one) => bar(one, top)));
  if (!found.length) {
    say("The model names nothing here.");
  } else if (record.sure === false) {
    say("Not sure. It looks most like: " + found[0].label, "found");
  } else {
    say(found[0].label, "found");
  }
  at("details").textContent = record.inference_ms.toFixed(1) + " ms on " + record.device + ", "
    + record.preprocess_ms.toFixed(1) + " ms to prepare the picture; " + (1000 * seconds).toFixed(0)
    + " ms until it was here";
  at("answer").scrollIntoView({block: "nearest", behavior: "smooth"});
}

function fail(sentence) {
  at("bars").replaceChildren();
  at("details").textContent = "";
  say(sentence, "trouble");
}

// "image <61 bytes>: cannot be decoded" -> "This picture cannot be decoded"
function reworded(sentence) {
  return sentence.replace(/^image [^:]*: /, "This picture: ");
}

async function classify(file) {
  const mine = ++latest;
  if (shown) {
    URL.revokeObjectURL(shown);
  }
  shown = URL.createObjectURL(file);
  at("shown").src = shown;
  at("shown").alt = file.name ? "Your picture, " + file.name : "Your picture";
  at("shown").hidden = false;
  at("drop").hidden = true;
  at("bars").replaceChildren();
  at("details").textContent = "";
  say("Looking …", "busy");
  const began = performance.now();
  try {
    const response = await fetch("v1/classify?top_k=5", {
      method: "POST", body: file, headers: {"Content-Type": "application/octet-stream"}});
    const record = await response.json();
    if (mine !== latest) {
      return;
    }
    if (response.ok) {
      show(record, (performance.now() - began) / 1000);
    } else {
      fail(reworded(record.error));
    }
  } catch (error) {
    if (mine === latest) {
      fail("The server does not answer. Is it still running?");
    }
  }
}

function firstOf(items) {
  return Array.from(items || []).find((file) => file && file.type.startsWith("image/"));
}

for (const id of ["file", "camera"]) {
  at(id).addEventListener("change", (event) => {
    if (event.target.files.length) {
      classify(event.target.files[0]);
    }
    event.target.value = "";    // the same one may be chosen again
  });
}

// Dropped anywhere: missing the frame must not leave the page.
let inside = 0;
document.addEventListener("dragenter", () => { inside += 1; stage.classList.add("over"); });
document.addEventListener("dragleave", () => { inside -= 1; stage.classList.toggle("over", inside > 0); });
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  inside = 0;
  stage.classList.remove("over");
  const files = event.dataTransfer.files;
  if (files.length) {
    classify(firstOf(files) || files[0]);
  } else {
    fail("Only a file can be dropped here; save the picture first.");
  }
});
document.addEventListener("paste", (event) => {
  const file = firstOf(event.clipboardData.files);
  if (file) {
    classify(file);
  }
});

// A picture that this browser cannot show may be one that the server reads, and the other way round.
at("shown").addEventListener("error", () => {
  at("shown").alt = "This browser cannot show the picture";
});

// A phone has a camera behind the chooser, and nothing to drop.
if (navigator.maxTouchPoints > 0) {
  at("camera").hidden = at("take").hidden = false;
  at("invitation").textContent = "Tap to choose a picture";
  at("ways").textContent = "or take one with the camera";
}

at("curl").textContent = "curl --data-binary @cat.jpg " + new URL("v1/classify", location.href);
fetch("v1/service").then((response) => response.json()).then((service) => {
  at("service").textContent = service.model + " on " + service.device;
}).catch(() => {});
