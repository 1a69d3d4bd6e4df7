/**
 * Lets the browser draw and answer before long work goes on. Not a timer: those come late, or once a second
 * in a tab that nobody looks at.
 */
export function breath(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = (): void => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
