// The model in space: points, cameras, a view that turns. Draws when something changes, else rests.
// Begins when the words of the page are on the screen.
"use strict";
requestAnimationFrame(() => setTimeout(() => {
  const stage = element("stage"), FAR = 2.5, FIELD = 50, STEP = 0.12;
  const posed = data.photos.map((photo, index) => ({ ...photo.pose, index, photo }))
    .filter((one) => one.photo.pose);
  let renderer;
  try {
    renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
  } catch {
    const words = document.createElement("p");
    words.textContent = "This browser draws nothing in space (WebGL is missing or switched off). " +
      "Photos, pairs and tables work without it.";
    stage.append(words);
    if (data.photos.length) pickPhoto(posed.length ? posed[0].index : 0);
    return;
  }
  const canvas = renderer.domElement;
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label",
    `the model: coloured points and ${posed.length} cameras; arrow keys turn it`);
  stage.append(canvas);
  const scene = new THREE.Scene(), eye = new THREE.PerspectiveCamera(FIELD, 1, 0.001, 5000);
  const controls = new THREE.OrbitControls(eye, canvas), frusta = new THREE.Group();
  const dots = points(), depth = cameraDepth();
  const lines = new THREE.LineBasicMaterial(), strong = new THREE.LineBasicMaterial();
  const glass = new THREE.MeshBasicMaterial({ transparent: true, opacity: 0.07, depthWrite: false,
    side: THREE.DoubleSide });
  scene.add(dots, frusta);
  posed.forEach((one) => frusta.add(frustum(one)));
  let shown = null; // the picked photo in its frustum

  function points() {
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(floats(data.points.xyz), 3));
    geometry.setAttribute("color", new THREE.BufferAttribute(bytes(data.points.rgb), 3, true));
    const material = new THREE.PointsMaterial({ size: 3, sizeAttenuation: false,
      vertexColors: true });
    return new THREE.Points(geometry, material);
  }

  function middle(numbers) {
    const sorted = [...numbers].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }

  // Half of what lies between neighbouring cameras, so that they can be told apart.
  function cameraDepth() {
    const gaps = posed.map((a) => Math.min(...posed.filter((b) => b !== a).map((b) =>
      Math.hypot(...a.centre.map((x, i) => x - b.centre[i])))));
    return Math.min(0.4, Math.max(0.06, 0.5 * (middle(gaps.filter(Number.isFinite)) || 0.3)));
  }

  function corners(one) {
    const [x, y] = one.tan.map((t) => depth * Math.min(2, Math.max(0.1, t)));
    return [[-x, -y], [x, -y], [x, y], [-x, y]].map((corner) => inScene(one, [...corner, depth]));
  }

  function inScene(one, p) {
    const { R, centre } = one;
    return new THREE.Vector3(...[0, 3, 6].map((row, i) =>
      R[row] * p[0] + R[row + 1] * p[1] + R[row + 2] * p[2] + centre[i]));
  }

  function frustum(one) {
    const c = new THREE.Vector3(...one.centre), k = corners(one), group = new THREE.Group();
    const up = inScene(one, [0, -depth * Math.min(2, Math.max(0.1, one.tan[1])) * 1.4, depth]);
    const edges = [c, k[0], c, k[1], c, k[2], c, k[3], k[0], k[1], k[1], k[2], k[2], k[3], k[3],
      k[0], k[0], up, up, k[1]];
    const sides = [c, k[0], k[1], c, k[1], k[2], c, k[2], k[3], c, k[3], k[0], k[0], k[1], k[2],
      k[0], k[2], k[3]];
    group.add(new THREE.LineSegments(new THREE.BufferGeometry().setFromPoints(edges), lines));
    group.add(new THREE.Mesh(new THREE.BufferGeometry().setFromPoints(sides), glass));
    group.userData = one;
    return group;
  }

  async function showIn(one) {
    if (shown) {
      scene.remove(shown);
      shown.material.map.dispose();
      shown.geometry.dispose();
      shown = null;
    }
    const image = one && await picture(one.index);
    if (!image || picked !== one.index) return draw();
    const texture = new THREE.Texture(image), k = corners(one);
    texture.colorSpace = THREE.SRGBColorSpace;
    texture.needsUpdate = true;
    const geometry = new THREE.BufferGeometry().setFromPoints([k[0], k[1], k[2], k[0], k[2], k[3]]);
    const uv = new Float32Array([0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0]);
    geometry.setAttribute("uv", new THREE.BufferAttribute(uv, 2));
    shown = new THREE.Mesh(geometry, new THREE.MeshBasicMaterial({ map: texture, opacity: 0.85,
      transparent: true, side: THREE.DoubleSide }));
    scene.add(shown);
    return draw();
  }

  function wholeScene() {
    const far = FAR * (middle(posed.map((one) => Math.hypot(...one.centre))) || 1);
    const box = new THREE.Box3(new THREE.Vector3(-0.7, -0.7, -0.7),
      new THREE.Vector3(0.7, 0.7, 0.7));
    for (const one of posed) {
      if (Math.hypot(...one.centre) <= far) box.expandByPoint(new THREE.Vector3(...one.centre));
    }
    const centre = box.getCenter(new THREE.Vector3());
    const radius = box.getSize(new THREE.Vector3()).length() / 2;
    const narrow = Math.min(1, eye.aspect), angle = FIELD / 2 * Math.PI / 180;
    const back = 0.8 * radius / Math.sin(Math.atan(Math.tan(angle) * narrow));
    controls.target.copy(centre);
    eye.position.copy(centre).add(new THREE.Vector3(0.45, 0.55, 0.8).normalize()
      .multiplyScalar(back));
    controls.update();
    draw();
  }

  function lookThrough() {
    const one = posed.find((other) => other.index === picked);
    if (!one) return;
    const ahead = Math.max(0.3, Math.hypot(...one.centre));
    eye.position.copy(inScene(one, [0, 0, -0.02]));
    controls.target.copy(inScene(one, [0, 0, ahead]));
    controls.update();
    draw();
  }

  let asked = false;
  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      renderer.render(scene, eye);
    });
  }

  function dress() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => new THREE.Color(style.getPropertyValue(name).trim());
    scene.background = colour("--stage");
    lines.color = glass.color = colour("--edge");
    strong.color = colour("--accent");
    draw();
  }

  function resize() {
    const { clientWidth: w, clientHeight: h } = stage;
    renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
    renderer.setSize(w, h, false);
    eye.aspect = w / Math.max(h, 1);
    eye.updateProjectionMatrix();
    sizePoints();
  }

  function sizePoints() {
    dots.material.size = Number(element("size").value) * renderer.getPixelRatio() * 0.8;
    draw();
  }

  function turn(dx, dy, zoom) {
    const offset = eye.position.clone().sub(controls.target);
    const length = offset.length() * zoom, flat = Math.hypot(offset.x, offset.z);
    const azimuth = Math.atan2(offset.x, offset.z) + dx;
    const height = Math.min(1.5, Math.max(-1.5, Math.atan2(offset.y, flat) + dy));
    offset.set(Math.sin(azimuth) * Math.cos(height), Math.sin(height),
      Math.cos(azimuth) * Math.cos(height)).multiplyScalar(length);
    eye.position.copy(controls.target).add(offset);
    controls.update();
    draw();
  }

  function neighbour(step) {
    const at = posed.findIndex((one) => one.index === picked);
    if (posed.length) pickPhoto(posed[(at + step + posed.length) % posed.length].index);
  }

  const KEYS = {
    ArrowLeft: () => turn(-STEP, 0, 1), ArrowRight: () => turn(STEP, 0, 1),
    ArrowUp: () => turn(0, STEP, 1), ArrowDown: () => turn(0, -STEP, 1),
    "+": () => turn(0, 0, 0.85), "=": () => turn(0, 0, 0.85), "-": () => turn(0, 0, 1.18),
    0: wholeScene, n: () => neighbour(1), p: () => neighbour(-1),
  };
  canvas.addEventListener("keydown", (event) => {
    const act = KEYS[event.key] || KEYS[event.key.toLowerCase()];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });

  let pressed = null;
  canvas.addEventListener("pointerdown", (event) => { pressed = [event.clientX, event.clientY]; });
  canvas.addEventListener("pointerup", (event) => {
    if (!pressed || Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) > 5) return;
    const box = canvas.getBoundingClientRect(), ray = new THREE.Raycaster();
    ray.setFromCamera(new THREE.Vector2((event.clientX - box.left) / box.width * 2 - 1,
      1 - (event.clientY - box.top) / box.height * 2), eye);
    const solid = frusta.children.map((group) => group.children[1]);
    const hit = frusta.visible && ray.intersectObjects(solid, false)[0];
    if (hit) pickPhoto(hit.object.parent.userData.index);
  });

  watchers.push((index) => {
    for (const group of frusta.children) {
      group.children[0].material = group.userData.index === index ? strong : lines;
    }
    element("through").disabled = !data.photos[index].pose;
    showIn(posed.find((one) => one.index === index));
  });
  element("reset").addEventListener("click", wholeScene);
  element("through").addEventListener("click", lookThrough);
  element("size").addEventListener("input", sizePoints);
  element("cameras").addEventListener("click", (event) => {
    frusta.visible = !frusta.visible;
    event.target.setAttribute("aria-pressed", String(frusta.visible));
    draw();
  });
  controls.addEventListener("change", draw);
  new ResizeObserver(resize).observe(stage);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", dress);
  resize();
  dress();
  wholeScene();
  if (data.photos.length) pickPhoto(posed.length ? posed[0].index : 0);
  window.viewer = { eye, controls, posed, renderer, project: (one) =>
    inScene(one, [0, 0, 0.7 * depth]).project(eye) };
}));
