#!/usr/bin/env bash
# Makes dift_geo/report/assets/three.min.js: the parts of three.js that the page of a model uses.
# Needs node and npm. Versions are pinned: the same file comes out on any machine.
#
#     pipelines/bench/make_three.sh
set -euo pipefail
assets="$(cd "$(dirname "$0")/../.." && pwd)/dift_geo/report/assets"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --no-fund --no-audit three@0.187.0 esbuild@0.28.2
cat > entry.js <<'JS'
export {Box3, BufferAttribute, BufferGeometry, Color, DoubleSide, Group, LineBasicMaterial,
  LineSegments, Mesh, MeshBasicMaterial, PerspectiveCamera, Points, PointsMaterial, Raycaster,
  SRGBColorSpace, Scene, Texture, Vector2, Vector3, WebGLRenderer} from "three";
export {OrbitControls} from "three/addons/controls/OrbitControls.js";
JS
npx esbuild entry.js --bundle --minify --format=iife --global-name=THREE --legal-comments=none \
  --banner:js='/* three.js 0.187.0, MIT licence: three.LICENSE.txt; see make_three.sh */' \
  --outfile="$assets/three.min.js"
cp node_modules/three/LICENSE "$assets/three.LICENSE.txt"
