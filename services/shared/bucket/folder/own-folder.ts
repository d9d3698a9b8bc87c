/** Ours, inside the folder: drafts of objects, and what is known of them besides their bytes. */
export const OWN_FOLDER = '.tributary'
