// Browsers refuse workers to pages that are opened as files.  There, the script of the search works in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = "<script>(function " + this.inside + ")()</script><script src='" + url + "'></script>";
      this.frame.toWorker = this;
      this.ready = new Promise(resolve => this.frame.addEventListener("load", resolve));
      document.body.append(this.frame);
    }

    // Runs in the frame, before the worker's own script.
    inside() {
      const worker = window.frameElement.toWorker;
      window.postMessage = data => worker.dispatchEvent(new MessageEvent("message", { data }));
      window.importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise((loaded, failed) => {
        const script = Object.assign(document.createElement("script"), { src: url, onload: loaded, onerror: failed });
        document.head.append(script);
      })), Promise.resolve());
    }

    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
