// A browser starts no worker from the file system, and the search of the site runs in one. Where the pages are opened as files,
// this stands in its place: the script runs in a hidden frame, and messages go both ways. Over HTTP it does nothing.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    #frame = document.createElement("iframe");
    #loaded;

    constructor(address) {
      super();
      this.#frame.hidden = true;
      document.body.append(this.#frame);
      const inner = this.#frame.contentWindow;
      inner.postMessage = (data) => this.#answer(new MessageEvent("message", { data }));
      const script = inner.document.createElement("script");
      this.#loaded = new Promise((ready, failed) => {
        script.onload = ready;
        script.onerror = failed;
      });
      this.#loaded.catch(() => this.onerror?.(new ErrorEvent("error", { message: `${address} did not load` })));
      script.src = new URL(address, location.href).href;
      inner.document.body.append(script);
    }

    postMessage(data) {
      this.#loaded.then(() => {
        const inner = this.#frame.contentWindow;
        if (inner) inner.dispatchEvent(new inner.MessageEvent("message", { data }));
      });
    }

    terminate() {
      this.#frame.remove();
    }

    #answer(event) {
      this.onmessage?.(event);
      this.dispatchEvent(event);
    }
  };
}
