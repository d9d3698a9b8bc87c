import type { KeyKind, Project, ProjectKey } from './model.ts'

/** The keys that every project is made with. */
export type PredefinedKind = Exclude<KeyKind, 'access'>
/** What a caller says about a project. */
export type ProjectFields = Pick<Project, 'name' | 'users' | 'preferences'>
/** What a caller says about a key. */
export type KeyFields = Pick<ProjectKey, 'name' | 'isActive' | 'permitted' | 'options'>
