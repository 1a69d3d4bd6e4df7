import assert from "node:assert/strict";
import { test } from "node:test";
import { fitViewport } from "../src/platform/viewport.ts";

/** A window whose keyboard lies over the page, or, where it `makesRoom`, beside it. */
class Phone extends EventTarget {
  readonly style = new Map<string, string>();
  innerHeight: number;
  readonly visualViewport = this;
  scale = 1;
  height: number;
  offsetTop = 0;

  constructor(readonly screen = 844, readonly makesRoom = false) {
    super();
    this.innerHeight = screen;
    this.height = screen;
    fitViewport(this, {
      setProperty: (name: string, value: string | null) => void this.style.set(name, value ?? ""),
      removeProperty: (name: string) => (this.style.delete(name), ""),
    });
  }

  keyboard(height: number): void {
    this.height = this.screen - height;
    if (this.makesRoom) this.innerHeight = this.height;
    this.dispatchEvent(new Event("resize"));
  }

  /** As iOS does to bring the field into sight. */
  scrolls(to: number): void {
    this.offsetTop = to;
    this.dispatchEvent(new Event("scroll"));
  }

  zooms(scale: number): void {
    this.scale = scale;
    this.height = this.screen / scale;
    this.dispatchEvent(new Event("resize"));
  }

  /** Where the page's box begins and ends, as `base.css` has it. The field is at its end. */
  get page(): readonly [top: number, bottom: number] {
    const top = parseFloat(this.style.get("--top") ?? "0");
    return [top, top + parseFloat(this.style.get("--height") ?? String(this.innerHeight))];
  }

  get seen(): readonly [top: number, bottom: number] {
    return [this.offsetTop, this.offsetTop + this.height];
  }
}

test("the page is what a keyboard that lies over it leaves, however high it is", () => {
  const phone = new Phone();
  for (const height of [336, 291, 400, 44]) {
    phone.keyboard(height);
    assert.deepEqual(phone.page, [0, 844 - height]);
    assert.deepEqual(phone.page, phone.seen);
  }
});

test("it goes along when what is under the keyboard is scrolled into sight", () => {
  const phone = new Phone();
  phone.keyboard(336);
  for (const to of [1, 120, 336, 0]) {
    phone.scrolls(to);
    assert.deepEqual(phone.page, [to, to + 508]);
    assert.deepEqual(phone.page, phone.seen);
  }
});

test("without a keyboard the style sheet says how high the page is", () => {
  const phone = new Phone();
  phone.keyboard(336);
  phone.scrolls(200);
  assert.deepEqual([...phone.style.keys()], ["--height", "--top"]);
  phone.offsetTop = 0;
  phone.keyboard(0);
  assert.deepEqual([...phone.style], []);
  // Rounded, as browsers do with fractions of pixels.
  phone.keyboard(0.5);
  assert.deepEqual([...phone.style], []);
});

test("a keyboard that makes room for itself is left to the browser", () => {
  const phone = new Phone(844, true);
  phone.keyboard(336);
  assert.deepEqual([...phone.style], []);
  assert.deepEqual(phone.page, phone.seen);
});

test("zooming in moves nothing of the page, with the keyboard or without", () => {
  const phone = new Phone();
  phone.zooms(2);
  assert.deepEqual([...phone.style], []);
  phone.scrolls(300);
  assert.deepEqual([...phone.style], []);
  phone.zooms(1);
  phone.offsetTop = 0;
  phone.keyboard(336);
  assert.deepEqual(phone.page, phone.seen);
  phone.zooms(1.5);
  assert.deepEqual([...phone.style], []);
});

test("a browser that can't tell keeps the style sheet's height", () => {
  const touched = (): never => assert.fail("nothing to fit");
  fitViewport({ innerHeight: 844, visualViewport: null }, { setProperty: touched, removeProperty: touched });
});
