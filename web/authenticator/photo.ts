// Phones make photos far larger than needed. Large ones, and formats that the
// server does not take, are redrawn, which also turns them the right way up.
export async function sized(photo: Blob): Promise<Blob> {
  if (photo.size <= 1_500_000 && ["image/jpeg", "image/png"].includes(photo.type)) return photo;
  try {
    const bitmap = await createImageBitmap(photo, { imageOrientation: "from-image" });
    const scale = Math.min(1, 1600 / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(bitmap.width * scale);
    canvas.height = Math.round(bitmap.height * scale);
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    return await new Promise((resolve) => canvas.toBlob((small) => resolve(small ?? photo), "image/jpeg", 0.92));
  } catch {
    return photo; // the server says what is wrong with it
  }
}
